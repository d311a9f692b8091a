export default { title: '快速接入' };
