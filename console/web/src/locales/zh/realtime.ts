export default {
  title: '实时',
  lead: '最近 30 分钟，每 10 秒更新。',
  online: '当前在线（5 分钟内）',
  minutes: '每分钟',
  event: '事件',
  events: '事件数',
  people: '人数',
  quiet: '最近 30 分钟没有事件',
  quietText: '打开一次接入了 SDK 的页面或 App，几秒后这里会有数字。',
  top: { events: '事件', pages: '页面', regions: '省份', platforms: '平台' },
};
