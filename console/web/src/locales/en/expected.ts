export default {
  title: 'Coverage',
  lead: 'Upload the list of events you expect: see on which platform they arrive, and whether they are right. Nothing is refused.',
  template: 'Template',
  upload: 'Upload a list',
  uploaded: '{events} events and {properties} properties read',
  none: 'No list yet',
  noneText:
    'Download the template, fill in event, display name, property, type, required, enum, platform, and upload it (XLSX or CSV). Recordings are compared with it too.',
  removeAsk: 'Delete this list? Data are not touched.',
  events: '{n} events',
  all: 'All',
  search: 'Event',
  state: { ok: 'arrived', absent: 'absent', missing: 'property missing', wrong_type: 'wrong type' },
  missingIs: 'Required property {property} is missing in {share} of the events',
  wrongIs: 'Property {property} should be {expected}; {got} came {n} times',
  lookedInto: '{n} looked into',
  unexpected: 'Events not in the list ({n})',
  unexpectedLead:
    'Arrived in seven days and are not in the list (presets of the SDKs left out): a typo, or a list out of date.',
};
