export default {
  title: '标签',
  lead: '按规则给每个人一个值；打开时现算，总是最新。',
  new: '新建标签',
  value: '标签值',
  users: '人数',
  none: '还没有选标签',
  noneText: '上面是一个例子：改好后保存，就能看到每个值有多少人。',
  help: '值从上往下判断，取第一个成立的。统计函数：count、uniq、sum、avg、min、max、first、last、days、days_since；属性写作 str.名、num.名、arr.名，预置属性写作 $city。',
};
