export default { title: 'Trend', time: 'Time', measures: 'Measures' };
