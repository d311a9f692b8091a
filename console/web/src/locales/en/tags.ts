export default {
  title: 'Tags',
  lead: 'A value for each person, by rule; computed when asked, so never old.',
  new: 'New tag',
  value: 'Value',
  users: 'Users',
  none: 'No tag is chosen',
  noneText: 'Above is an example: change and save it to see how many people have which value.',
  help: 'Values are tried from the top, the first that holds is it. Measures: count, uniq, sum, avg, min, max, first, last, days, days_since; properties are str.name, num.name, arr.name, preset ones $city.',
};
