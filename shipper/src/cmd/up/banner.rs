//! What `tusk up` prints before the first event: where to send, what to paste, what to type.

use std::fmt::Write as _;
use std::net::SocketAddr;

use event::Lang;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::{Plan, program, shorter};
use crate::lang::pick;
use crate::term::{Tone, pad, wrap};

/// Width of the left column.
const LABEL: usize = 14;

/// All of it; `console` is where the metrics are, `page` the one-time address of the pages.
pub(super) fn text(plan: &Plan, console: SocketAddr, page: Option<&str>) -> String {
    let mut out = String::from("\n");
    head(plan, console, page, &mut out);
    now(plan, &mut out);
    sdks(plan, &mut out);
    if plan.lan.is_some() {
        code(plan, &mut out);
    }
    if let Some(tls) = &plan.tls {
        trust(plan, &shorter(&tls.ca), &mut out);
    }
    let last = pick(
        plan.lang,
        "Ctrl-C 停止，数据不丢。下面每条事件一行：",
        "Ctrl-C stops and loses nothing. Every event, one line each:",
    );
    let _ = writeln!(out, "{}", plan.paint.tone(Tone::Strong, last));
    out
}

fn title(plan: &Plan, zh: &str, en: &str, out: &mut String) {
    let _ = writeln!(out, "{}", plan.paint.tone(Tone::Strong, pick(plan.lang, zh, en)));
}

fn line(label: &str, text: &str, out: &mut String) {
    let _ = writeln!(out, "  {}{text}", pad(label, LABEL));
}

fn head(plan: &Plan, console: SocketAddr, page: Option<&str>, out: &mut String) {
    title(
        plan,
        "Tusk 已在接收：nginx 当场校验，写入本机文件，不向外发任何数据",
        "Tusk is receiving: checked inside nginx, written to files here, sent nowhere else",
        out,
    );
    let lang = plan.lang;
    let url = plan.url(&plan.host());
    line(pick(lang, "上报地址", "receive URL"), &plan.paint.tone(Tone::Good, &url), out);
    if plan.lan.is_some() {
        line(pick(lang, "本机地址", "from here"), &plan.url(&plan.here()), out);
    }
    if let Some(page) = page {
        line(pick(lang, "控制台", "console"), &plan.paint.tone(Tone::Good, page), out);
    }
    line(pick(lang, "数据文件", "files"), &shorter(&plan.data.join("files")), out);
    if let Some(address) = plan.olap {
        line("ClickHouse", &format!("http://{address}"), out);
    }
    line(pick(lang, "指标", "metrics"), &format!("http://{console}/metrics"), out);
    out.push('\n');
}

fn now(plan: &Plan, out: &mut String) {
    title(plan, "试一条（另开一个终端）", "Try it (in another terminal)", out);
    let trust =
        plan.tls.as_ref().map_or(String::new(), |tls| format!("--cacert {} ", shorter(&tls.ca)));
    let _ = writeln!(
        out,
        "  curl {trust}'{}' -H 'X-Tusk-Verdict: 1' \\\n    --data-urlencode 'data={{\"type\":\"track\",\"event\":\"Buy\",\"distinct_id\":\"u1\",\"time\":'$(date +%s000)'}}'",
        plan.url(&plan.here())
    );
    out.push('\n');
    title(plan, "看结果", "See what is stored", out);
    let (tusk, data) = (program(), shorter(&plan.data));
    let _ = writeln!(out, "  {tusk} tail --data {data}");
    let jq = if has("jq") { " | jq -c '[.event, .distinct_id, .properties]'" } else { "" };
    let _ = writeln!(out, "  find {data}/files -name '*.jsonl' -exec cat {{}} +{jq}");
    let _ =
        writeln!(out, "  {tusk} ledger --data {data}    {tusk} quarantine list --data {data}\n");
}

/// Whether a program is there to be used in a line to paste.
fn has(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// One platform: its name and what to know on one line (wrapped), then lines to paste.
fn platform(plan: &Plan, name: &str, note: &str, code: &[String], out: &mut String) {
    let columns = plan.columns.unwrap_or(usize::MAX);
    let head = if note.is_empty() {
        format!("  {name}")
    } else {
        format!("  {name}{}{note}", pick(plan.lang, "：", ": "))
    };
    let head = wrap(&head, columns, "    ");
    let styled = head.replacen(name, &plan.paint.tone(Tone::Strong, name), 1);
    let _ = writeln!(out, "{styled}");
    for line in code {
        let _ = writeln!(out, "    {line}");
    }
}

fn sdks(plan: &Plan, out: &mut String) {
    title(
        plan,
        "各端 SDK：业务代码不动，只改上报地址",
        "SDKs: nothing changes but the server URL",
        out,
    );
    let (lang, port) = (plan.lang, plan.address.port());
    let (url, here) = (plan.url(&plan.host()), plan.url(&plan.here()));
    let lan = plan.lan.is_some();
    let phone = |zh: &str, en: &str| {
        let more = if lan {
            ""
        } else {
            pick(lang, "；真机：make run LAN=1", "; a phone: make run LAN=1")
        };
        format!("{}{more}", pick(lang, zh, en))
    };
    platform(
        plan,
        "Web",
        pick(
            lang,
            "https 页面只能报到 https：make run TLS=1（127.0.0.1 除外）",
            "an https page may only send to https: make run TLS=1 (127.0.0.1 excepted)",
        ),
        &[format!("sensors.init({{ server_url: '{url}' }}); sensors.quick('autoTrack');")],
        out,
    );
    platform(
        plan,
        pick(lang, "小程序", "mini program"),
        &phone(
            "开发者工具 → 详情 → 本地设置 → 勾选“不校验合法域名”；手机预览时打开“调试”",
            "developer tool, Details, Local settings: do not verify domains; on a phone turn debugging on",
        ),
        &[
            format!("sensors.setPara({{ name: 'sensors', server_url: '{url}' }});"),
            "sensors.init();".to_owned(),
        ],
        out,
    );
    let cleartext = if plan.tls.is_some() {
        ""
    } else {
        pick(
            lang,
            "；Android 9+ 调试包需 android:usesCleartextTraffic=\"true\"",
            "; Android 9+ debug builds need android:usesCleartextTraffic=\"true\"",
        )
    };
    let emulator = plan.url("10.0.2.2");
    platform(
        plan,
        "Android",
        &format!(
            "{}{cleartext}",
            pick(
                lang,
                format!(
                    "模拟器用 10.0.2.2；USB 真机：adb reverse tcp:{port} tcp:{port} 后用 127.0.0.1"
                ),
                format!(
                    "emulator: 10.0.2.2; phone by USB: adb reverse tcp:{port} tcp:{port}, then 127.0.0.1"
                ),
            )
        ),
        &[format!(
            "SensorsDataAPI.startWithConfigOptions(this, new SAConfigOptions(\"{}\"));",
            if lan { &url } else { &emulator }
        )],
        out,
    );
    platform(
        plan,
        "iOS",
        &phone(
            "模拟器可用 127.0.0.1；http 需在 Info.plist 打开 NSAllowsLocalNetworking",
            "simulator: 127.0.0.1; http needs NSAllowsLocalNetworking in Info.plist",
        ),
        &[
            format!(
                "SAConfigOptions *o = [[SAConfigOptions alloc] initWithServerURL:@\"{url}\" launchOptions:nil];"
            ),
            "[SensorsAnalyticsSDK startWithConfigOptions:o];".to_owned(),
        ],
        out,
    );
    platform(
        plan,
        "Java · Python · Node · Go · PHP",
        "",
        &[
            format!("SensorsAnalytics sa = new SensorsAnalytics(new BatchConsumer(\"{here}\"));"),
            format!(
                "sa = sensorsanalytics.SensorsAnalytics(sensorsanalytics.DefaultConsumer('{here}'))"
            ),
            format!("const sa = new SensorsAnalytics(); sa.submitTo('{here}');"),
            format!("consumer, _ := sensorsanalytics.InitDefaultConsumer(\"{here}\", 3000)"),
            format!("$sa = new SensorsAnalytics(new BatchConsumer(\"{here}\"));"),
        ],
        out,
    );
    platform(
        plan,
        pick(lang, "云主机", "cloud host"),
        &pick(
            lang,
            format!(
                "在自己电脑上执行，之后照用 127.0.0.1；或 make run LISTEN=0.0.0.0 并只对自己的 IP 放行 {port}"
            ),
            format!(
                "run this on your own computer, then use 127.0.0.1; or make run LISTEN=0.0.0.0 and open port {port} to your address only"
            ),
        ),
        &[format!("ssh -L {port}:127.0.0.1:{port} {}", pick(lang, "用户@主机", "user@host"))],
        out,
    );
    out.push('\n');
}

/// The receive URL as a QR code made of half blocks.
fn code(plan: &Plan, out: &mut String) {
    let url = plan.url(&plan.host());
    let Ok(code) = QrCode::with_error_correction_level(url.as_bytes(), EcLevel::L) else { return };
    title(
        plan,
        "扫码得到上报地址（手机与本机在同一网络）",
        "Scan for the receive URL (phone and this machine in one network)",
        out,
    );
    // Light and dark swapped: most terminals are dark, and scanners want a light border.
    let image = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .quiet_zone(true)
        .build();
    for row in image.lines() {
        let _ = writeln!(out, "  {row}");
    }
    out.push('\n');
}

fn trust(plan: &Plan, ca: &str, out: &mut String) {
    title(plan, "信任本机证书（一次）", "Trust the local authority (once)", out);
    let ca_url = format!("{}://{}:{}/ca.pem", plan.scheme(), plan.host(), plan.address.port());
    let rows: &[(&str, String)] = &match plan.lang {
        Lang::Zh => [
            ("文件", format!("{ca}（手机可直接打开 {ca_url}）")),
            ("Debian", format!("sudo cp {ca} /usr/local/share/ca-certificates/tusk.crt && sudo update-ca-certificates")),
            ("Chrome", "设置 → 隐私和安全 → 安全 → 管理证书 → 授权机构 → 导入".to_owned()),
            ("Android", "设置 → 安全 → 加密与凭据 → 安装证书 → CA 证书；App 调试包需在 network_security_config 信任 user".to_owned()),
            ("iOS", "安装描述文件后：设置 → 通用 → 关于本机 → 证书信任设置 → 打开".to_owned()),
        ],
        Lang::En => [
            ("file", format!("{ca} (phones can open {ca_url})")),
            ("Debian", format!("sudo cp {ca} /usr/local/share/ca-certificates/tusk.crt && sudo update-ca-certificates")),
            ("Chrome", "Settings → Privacy and security → Security → Manage certificates → Authorities → Import".to_owned()),
            ("Android", "Settings → Security → Encryption → Install a certificate → CA; the debug build must trust `user` in network_security_config".to_owned()),
            ("iOS", "install the profile, then Settings → General → About → Certificate Trust Settings → on".to_owned()),
        ],
    };
    for (label, text) in rows {
        line(label, text, out);
    }
    out.push('\n');
}
