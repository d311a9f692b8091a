export default {
  id: 'User',
  depth: 'Steps done',
  first: 'First step at',
  last: 'Last at',
  still: 'May still convert',
  yes: 'yes',
  none: 'There is nobody like that',
  count: '{n} people',
  step: 'Step {n}: pick an event',
  addStep: 'Add a step',
  up: 'Move up',
  down: 'Move down',
};
