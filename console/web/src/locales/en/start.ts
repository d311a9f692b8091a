export default { title: 'Quick start' };
