export default { title: '趋势', time: '时间', measures: '指标' };
