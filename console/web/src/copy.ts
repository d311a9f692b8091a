// To the clipboard, also where the page is not served over TLS.
import { ElMessage } from 'element-plus';
import { message } from './i18n';

/** Copies, and says so. */
export async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS browsers offer no clipboard but this.
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'visually-hidden';
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  ElMessage.success(message('ui.copied'));
}
