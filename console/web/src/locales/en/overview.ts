export default {
  title: 'Overview',
  empty: 'No data in this range yet',
  emptyText:
    'If no SDK reports yet, Quick start has the receive URL and code; if one does, take another range, project or platform.',
  start: 'Quick start',
  over: '{measure} over time',
  more: 'See all',
  top: { pages: 'Top pages', sources: 'Sources', regions: 'Regions', devices: 'Platforms' },
  reconcile:
    'received {received} = stored {stored} + quarantined {quarantined} + deduplicated {deduplicated} + in progress {progress}',
  gap: 'gap {n}',
};
