export default {
  title: 'Real time',
  lead: 'The last 30 minutes, every 10 seconds.',
  online: 'Online now (5 min)',
  minutes: 'By minute',
  event: 'Event',
  events: 'Events',
  people: 'People',
  quiet: 'No event in the last 30 minutes',
  quietText: 'Open a page or an app with the SDK in it; numbers appear within seconds.',
  top: { events: 'Events', pages: 'Pages', regions: 'Provinces', platforms: 'Platforms' },
};
