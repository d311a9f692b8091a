// What each SDK is set up with: the address that receives, and nothing else of ours.
export interface Snippet {
  key: string;
  title: string;
  /** `client` sends by itself, `server` from a backend. */
  side: 'client' | 'server';
  /** How the SDK is had. */
  install: string;
  code: (url: string) => string;
}

export const snippets: Snippet[] = [
  {
    key: 'web',
    title: 'Web / H5',
    side: 'client',
    install: 'npm install sa-sdk-javascript',
    code: (url) => `import sensors from 'sa-sdk-javascript';

sensors.init({
  server_url: '${url}',
  is_track_single_page: true,
  send_type: 'beacon',
});
sensors.quick('autoTrack');

sensors.login('user-1001');
sensors.track('PayOrder', { order_id: 'A1001', price: 12.5 });`,
  },
  {
    key: 'android',
    title: 'Android',
    side: 'client',
    install: "implementation 'com.sensorsdata.analytics.android:SensorsAnalyticsSDK:6.+'",
    code: (url) => `SAConfigOptions options = new SAConfigOptions("${url}");
options.setAutoTrackEventType(
    SensorsAnalyticsAutoTrackEventType.APP_START
        | SensorsAnalyticsAutoTrackEventType.APP_END
        | SensorsAnalyticsAutoTrackEventType.APP_VIEW_SCREEN
        | SensorsAnalyticsAutoTrackEventType.APP_CLICK);
SensorsDataAPI.startWithConfigOptions(this, options);

JSONObject properties = new JSONObject();
properties.put("order_id", "A1001");
properties.put("price", 12.5);
SensorsDataAPI.sharedInstance().login("user-1001");
SensorsDataAPI.sharedInstance().track("PayOrder", properties);`,
  },
  {
    key: 'ios',
    title: 'iOS',
    side: 'client',
    install: "pod 'SensorsAnalyticsSDK'",
    code: (url) => `SAConfigOptions *options = [[SAConfigOptions alloc]
    initWithServerURL:@"${url}"
        launchOptions:launchOptions];
options.autoTrackEventType = SensorsAnalyticsEventTypeAppStart
    | SensorsAnalyticsEventTypeAppEnd
    | SensorsAnalyticsEventTypeAppViewScreen
    | SensorsAnalyticsEventTypeAppClick;
[SensorsAnalyticsSDK startWithConfigOptions:options];

[[SensorsAnalyticsSDK sharedInstance] login:@"user-1001"];
[[SensorsAnalyticsSDK sharedInstance] track:@"PayOrder"
    withProperties:@{@"order_id": @"A1001", @"price": @12.5}];`,
  },
  {
    key: 'wechat',
    title: '微信小程序 / WeChat',
    side: 'client',
    install: 'npm install sa-sdk-miniprogram',
    code: (url) => `// app.js
const sensors = require('./utils/sensorsdata.min.js');

sensors.setPara({
  name: 'sensors',
  server_url: '${url}',
  autoTrack: {
    appLaunch: true, appShow: true, appHide: true,
    pageShow: true, pageShare: true,
  },
});
sensors.init();

sensors.login('user-1001');
sensors.track('PayOrder', { order_id: 'A1001', price: 12.5 });`,
  },
  {
    key: 'flutter',
    title: 'Flutter',
    side: 'client',
    install: 'flutter pub add sensors_analytics_flutter_plugin',
    code: (url) => `import 'package:sensors_analytics_flutter_plugin/sensors_analytics_flutter_plugin.dart';

SensorsAnalyticsFlutterPlugin.init(
  serverUrl: '${url}',
  autoTrackTypes: <SAAutoTrackType>{
    SAAutoTrackType.APP_START,
    SAAutoTrackType.APP_END,
    SAAutoTrackType.APP_VIEW_SCREEN,
  },
);

SensorsAnalyticsFlutterPlugin.login('user-1001');
SensorsAnalyticsFlutterPlugin.track('PayOrder', {'order_id': 'A1001', 'price': 12.5});`,
  },
  {
    key: 'react-native',
    title: 'React Native',
    side: 'client',
    install: 'npm install sensorsdata-analytics-react-native',
    code: (url) => `import sensors from 'sensorsdata-analytics-react-native';

sensors.init({
  server_url: '${url}',
  auto_track: 7, // start, end, screens
});

sensors.login('user-1001');
sensors.track('PayOrder', { order_id: 'A1001', price: 12.5 });`,
  },
  {
    key: 'java',
    title: 'Java',
    side: 'server',
    install: 'com.sensorsdata.analytics.javasdk:SensorsAnalyticsSDK:3.+',
    code: (url) => `import com.sensorsdata.analytics.javasdk.SensorsAnalytics;
import com.sensorsdata.analytics.javasdk.consumer.BatchConsumer;

SensorsAnalytics sa = new SensorsAnalytics(new BatchConsumer("${url}"));

Map<String, Object> properties = new HashMap<>();
properties.put("order_id", "A1001");
properties.put("price", 12.5);
sa.track("user-1001", true, "PayOrder", properties);
sa.flush();`,
  },
  {
    key: 'python',
    title: 'Python',
    side: 'server',
    install: 'pip install SensorsAnalyticsSDK',
    code: (url) => `import sensorsanalytics

consumer = sensorsanalytics.BatchConsumer('${url}')
sa = sensorsanalytics.SensorsAnalytics(consumer)

sa.track('user-1001', 'PayOrder', {'order_id': 'A1001', 'price': 12.5}, is_login_id=True)
sa.flush()`,
  },
  {
    key: 'go',
    title: 'Go',
    side: 'server',
    install: 'go get github.com/sensorsdata/sa-sdk-go',
    code: (url) => `import sensorsanalytics "github.com/sensorsdata/sa-sdk-go"

consumer, err := sensorsanalytics.InitBatchConsumer("${url}", 50, 10000)
if err != nil {
    log.Fatal(err)
}
sa := sensorsanalytics.InitSensorsAnalytics(consumer, "default", false)
defer sa.Close()

properties := map[string]interface{}{"order_id": "A1001", "price": 12.5}
err = sa.Track("user-1001", "PayOrder", properties, true)`,
  },
  {
    key: 'node',
    title: 'Node.js',
    side: 'server',
    install: 'npm install sa-sdk-node',
    code: (url) => `const SensorsAnalytics = require('sa-sdk-node');

const sa = new SensorsAnalytics();
sa.submitTo('${url}');

sa.track('user-1001', 'PayOrder', { $is_login_id: true, order_id: 'A1001', price: 12.5 });`,
  },
  {
    key: 'php',
    title: 'PHP',
    side: 'server',
    install: 'composer require sensorsdata/sa-sdk-php',
    code: (url) => `<?php
require_once 'SensorsAnalytics.php';

$consumer = new BatchConsumer('${url}');
$sa = new SensorsAnalytics($consumer);

$sa->track('user-1001', true, 'PayOrder', ['order_id' => 'A1001', 'price' => 12.5]);
$sa->flush();`,
  },
  {
    key: 'curl',
    title: 'curl',
    side: 'server',
    install: 'curl',
    code: (url) => `# One event, as any SDK would send it.
event='{"type":"track","event":"PayOrder","distinct_id":"user-1001",
  "time":'$(date +%s%3N)',"properties":{"order_id":"A1001","price":12.5}}'

curl -sS '${url}' \\
  --data-urlencode "data=$(printf %s "$event" | base64 -w0)"`,
  },
];

/** The address an SDK reports to: project and token ride in its query. */
export function receiveUrl(base: string, project: string, token: string): string {
  let url: URL;
  try {
    url = new URL(base);
  } catch {
    return base;
  }
  if (!url.pathname || url.pathname === '/') url.pathname = '/sa';
  url.searchParams.set('project', project || 'default');
  if (token) url.searchParams.set('token', token);
  return url.toString();
}

/** What a text cannot hold when it stands inside quotes of any of these languages. */
export const quotable = (text: string): string => text.replace(/['"\\\s$`]/g, encodeURIComponent);
