export default {
  id: '用户 ID',
  depth: '到达步骤',
  first: '第一步时间',
  last: '最近时间',
  still: '仍可转化',
  yes: '是',
  none: '没有这样的用户',
  count: '{n} 人',
  step: '第 {n} 步：选择事件',
  addStep: '添加步骤',
  up: '上移',
  down: '下移',
};
