import com.fasterxml.jackson.databind.ObjectMapper;
import com.sensorsdata.analytics.javasdk.ISensorsAnalytics;
import com.sensorsdata.analytics.javasdk.SensorsAnalytics;
import com.sensorsdata.analytics.javasdk.bean.FailedData;
import com.sensorsdata.analytics.javasdk.bean.ItemRecord;
import com.sensorsdata.analytics.javasdk.bean.SensorsAnalyticsIdentity;
import com.sensorsdata.analytics.javasdk.consumer.BatchConsumer;
import com.sensorsdata.analytics.javasdk.consumer.Callback;
import com.sensorsdata.analytics.javasdk.consumer.ConcurrentLoggingConsumer;
import com.sensorsdata.analytics.javasdk.consumer.Consumer;
import com.sensorsdata.analytics.javasdk.consumer.DebugConsumer;
import com.sensorsdata.analytics.javasdk.consumer.FastBatchConsumer;
import com.sensorsdata.analytics.javasdk.util.SensorsAnalyticsUtil;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Drives the Java SDK: Driver BASE_URL OUT_DIR CASE[,CASE...].
 *
 * Cases: batch, fastbatch, concurrent, debug_write, debug_dry. Each case sends to the project named after it; every event the SDK hands to
 * its consumer is serialised by the SDK's own mapper into OUT_DIR/project.jsonl, one a line.
 */
public final class Driver {
  static final ObjectMapper MAPPER = SensorsAnalyticsUtil.getJsonObjectMapper();
  static volatile int failed = 0;

  /** Passes everything on to the SDK's consumer and writes down what it was. */
  static final class Meant implements Consumer {
    private final Consumer inner;
    private final Path log;

    Meant(Consumer inner, Path log) {
      this.inner = inner;
      this.log = log;
    }

    @Override
    public void send(Map<String, Object> message) {
      try {
        byte[] line = (MAPPER.writeValueAsString(message) + "\n").getBytes(StandardCharsets.UTF_8);
        Files.write(log, line, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
      } catch (java.io.IOException e) {
        throw new java.io.UncheckedIOException(e);
      }
      inner.send(message);
    }

    @Override
    public void flush() {
      inner.flush();
    }

    @Override
    public void close() {
      inner.close();
    }
  }

  static Consumer consumer(String name, String url, String log) throws Exception {
    switch (name) {
      case "batch": return new BatchConsumer(url, 6);
      case "fastbatch": return new FastBatchConsumer(url, false, 8, 1000, 1, 20, new Callback() {
        @Override
        public void onFailed(FailedData data) {
          failed += data.getFailedData().size();
        }
      });
      // Writes files, OUT_DIR/project.log…, instead of sending.
      case "concurrent": return new ConcurrentLoggingConsumer(log);
      case "debug_write": return new DebugConsumer(url, true);
      case "debug_dry": return new DebugConsumer(url, false);
      default: throw new IllegalArgumentException(name);
    }
  }

  static Map<String, Object> map(Object... pairs) {
    Map<String, Object> map = new LinkedHashMap<>();
    for (int i = 0; i < pairs.length; i += 2) map.put((String) pairs[i], pairs[i + 1]);
    return map;
  }

  static SensorsAnalyticsIdentity identity(String... pairs) {
    SensorsAnalyticsIdentity.Builder builder = SensorsAnalyticsIdentity.builder();
    for (int i = 0; i < pairs.length; i += 2) builder.addIdentityProperty(pairs[i], pairs[i + 1]);
    return builder.build();
  }

  static void steps(ISensorsAnalytics sa) throws Exception {
    sa.registerSuperProperties(map("super_text", "公共", "super_number", 1));
    sa.track("anon_1", false, "ViewProduct", map(
        "product", "苹果 iPhone「港版」", "emoji", "😀👩‍👩‍👧‍👦🇨🇳", "price", 6999.99, "quantity", 2, "negative", -1,
        "big", 9007199254740993L, "yes", true, "no", false, "when", new Date(1767323045678L),
        "list", Arrays.asList("a", "乙", "🍎"), "special", "+ &=%?#/\\\"'<>\n\t\u2028end", "empty", "", "$ip", "1.2.3.4"));
    sa.track("anon_1", false, "WithTime", map("$time", new Date(1767196799999L), "x", 1));
    sa.trackSignUp("user_10001", "anon_1");
    sa.profileSet("user_10001", true, map("$name", "张三", "age", 30, "vip", true, "birthday", new Date(631152000000L)));
    sa.profileSetOnce("user_10001", true, "first", "一次");
    sa.profileIncrement("user_10001", true, "score", 5);
    sa.profileAppend("user_10001", true, "tags", "电影");
    sa.profileUnset("user_10001", true, "age");
    sa.itemSet(ItemRecord.builder().setItemId("0321714113").setItemType("book").addProperty("title", "计算机程序设计艺术").addProperty("price", 88.5).build());
    sa.itemDelete("book", "0321714113", null);
    SensorsAnalyticsIdentity login = identity(SensorsAnalyticsIdentity.LOGIN_ID, "user_10001");
    sa.bind(identity(SensorsAnalyticsIdentity.LOGIN_ID, "user_10001", SensorsAnalyticsIdentity.MOBILE, "13900000000"));
    sa.unbind(identity(SensorsAnalyticsIdentity.MOBILE, "13900000000"));
    sa.trackById(identity(SensorsAnalyticsIdentity.EMAIL, "x@example.com", "$identity_cookie_id", "ck-1"), "EventById", map("a", "b"));
    sa.profileSetById(login, "k", "v");
    sa.profileIncrementById(login, "n", 1);
    sa.profileAppendById(login, "tags", "z");
    sa.profileUnsetById(login, "k");
    sa.profileDeleteById(login);
    sa.profileDelete("user_10001", true);
    List<String> tags = IntStream.range(0, 100).mapToObj(i -> "tag" + i).collect(Collectors.toList());
    sa.track("long_1", false, "LongValues", map("long", String.join("", Collections.nCopies(2000, "长")), "list", tags));
  }

  public static void main(String[] args) throws Exception {
    String base = args[0].replaceAll("/$", "");
    for (String name : args[2].split(",")) {
      String project = "java_" + name;
      Consumer consumer = consumer(name, base + "/sa?project=" + project, Path.of(args[1], project + ".log").toString());
      SensorsAnalytics sa = new SensorsAnalytics(new Meant(consumer, Path.of(args[1], project + ".jsonl")));
      steps(sa);
      sa.flush();
      sa.shutdown();
    }
    System.out.println("done failed=" + failed);
    System.in.readAllBytes();
    System.exit(failed == 0 ? 0 : 1);
  }
}
