export default {
  title: '概览',
  empty: '这段时间还没有数据',
  emptyText:
    '如果还没有接入 SDK，去“快速接入”拿数据接收地址和代码；如果已经接入，换一个时间范围、项目或平台。',
  start: '快速接入',
  over: '{measure}走势',
  more: '查看全部',
  top: { pages: '热门页面', sources: '来源', regions: '地域', devices: '平台' },
  reconcile: '接收 {received} = 入库 {stored} + 隔离 {quarantined} + 去重 {deduplicated} + 处理中 {progress}',
  gap: '缺口 {n}',
};
