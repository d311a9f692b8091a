"""The imaginary shop 小象商城: goods, channels, devices and people. Everything follows from the seed; every value is invented."""

import bisect
import math
import random

ZONE_OFFSET_MS = 8 * 3600_000
DAY_MS = 86_400_000

HOURS = [2, 1, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 11, 10, 8, 8, 8, 9, 10, 12, 15, 16, 12, 6]
CITIES = [
    ("广东", "深圳", 9), ("广东", "广州", 8), ("北京", "北京", 10), ("上海", "上海", 10), ("浙江", "杭州", 7),
    ("江苏", "南京", 5), ("四川", "成都", 6), ("湖北", "武汉", 5), ("陕西", "西安", 4), ("湖南", "长沙", 4),
    ("山东", "青岛", 3), ("河南", "郑州", 4), ("福建", "厦门", 2), ("重庆", "重庆", 4), ("辽宁", "沈阳", 2),
]
# utm_source, utm_medium, utm_campaign, traffic source as the web SDK words it, referrer, weight
CHANNELS = [
    ("", "", "", "直接流量", "", 46),
    ("", "", "", "自然搜索流量", "https://www.baidu.com/s?wd=%E5%B0%8F%E8%B1%A1", 10),
    ("", "", "", "引荐流量", "https://www.zhihu.com/question/1", 5),
    ("", "", "", "社交网站流量", "https://weibo.com/u/1", 4),
    ("baidu", "cpc", "618大促", "付费广告流量", "https://www.baidu.com/baidu.php", 12),
    ("wechat", "moments", "618大促", "付费广告流量", "", 9),
    ("douyin", "feed", "新人礼", "付费广告流量", "https://www.douyin.com/", 7),
    ("xiaohongshu", "kol", "种草", "付费广告流量", "https://www.xiaohongshu.com/", 5),
    ("sms", "crm", "唤醒", "付费广告流量", "", 2),
]
CATEGORIES = {"手机": 2500, "家电": 900, "女装": 180, "男装": 160, "母婴": 120, "美妆": 150, "食品": 40, "图书": 45, "运动": 220}
BRANDS = ["小象", "云杉", "海豚", "山雀", "无牌"]
PLATFORMS = {"js": 30, "MiniProgram": 33, "Android": 23, "iOS": 14}
DEVICES = {
    "Android": [("HUAWEI", "ALN-AL00"), ("Xiaomi", "23127PN0CC"), ("OPPO", "PHY110"), ("vivo", "V2309A"), ("HONOR", "BVL-AN00")],
    "iOS": [("Apple", "iPhone14,2"), ("Apple", "iPhone15,3"), ("Apple", "iPhone16,1")],
}
APP_VERSIONS = ["6.1.9", "6.2.0", "6.2.1"]
# What a browser says of itself, with weight; the request tells it, web events do not.
USER_AGENTS = [
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", (1920, 1080), 40),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15", (2560, 1600), 12),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0", (1920, 1080), 6),
    ("Mozilla/5.0 (Linux; Android 14; ALN-AL00) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36", (412, 915), 26),
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1", (390, 844), 16),
]
KEYWORDS = [f"{category}{tail}" for category in CATEGORIES for tail in ("", "推荐", "特价")]
SURNAMES, GIVEN = "王李张刘陈杨赵黄周吴", ["伟", "芳", "娜", "敏", "静", "磊", "洋", "艳", "勇", "杰", "秀英", "欧阳"]
VERSIONS = {"js": "1.27.11", "MiniProgram": "1.22.8", "Android": "6.8.2", "iOS": "4.9.1", "Java": "3.6.8"}


class Goods:
    """What is sold; few things sell often."""

    def __init__(self, seed, number=400):
        draw = random.Random(f"goods {seed}")
        self.all = []
        for index in range(number):
            category = draw.choice(list(CATEGORIES))
            price = round(CATEGORIES[category] * math.exp(draw.gauss(0, 0.5)), 2)
            # Ids of 19 digits: more than a Float64 keeps.
            number_id = 6917529027641081856 + index * 7919
            self.all.append((number_id, f"{category}商品{index}", category, max(price, 0.5), draw.choice(BRANDS)))
        total, self._sums = 0.0, []
        for index in range(number):
            total += 1 / (1 + index) ** 0.7
            self._sums.append(total)

    def draw(self, draw):
        """One of them, by how often it sells."""
        return self.all[min(len(self.all) - 1, bisect.bisect(self._sums, draw.random() * self._sums[-1]))]


class Person:
    """Somebody with one or two devices; what is fixed about them."""

    def __init__(self, seed, index, days):
        draw = random.Random(f"person {seed} {index}")
        self.index = index
        platform = draw.choices(list(PLATFORMS), list(PLATFORMS.values()))[0]
        self.devices = [Device(draw, platform)]
        if draw.random() < 0.12:
            self.devices.append(Device(draw, draw.choice(list(PLATFORMS))))
        self.province, self.city = draw.choices(CITIES, [city[2] for city in CITIES])[0][:2]
        self.ip = f"{draw.randint(36, 223)}.{draw.randint(0, 255)}.{draw.randint(0, 255)}.{draw.randint(1, 254)}"
        self.channel = draw.choices(CHANNELS, [channel[5] for channel in CHANNELS])[0]
        # Every seventh account number has 19 digits.
        self.login = f"{7000000000000000000 + index}" if index % 7 == 0 else f"u{100000 + index}"
        self.name = draw.choice(SURNAMES) + draw.choice(GIVEN)
        self.gender, self.age = draw.choice(["男", "女"]), draw.choice(["18-24", "25-34", "35-44", "45+"])
        self.mobile = f"13{draw.randint(100000000, 999999999)}"
        self.activity = min(0.95, max(0.04, draw.gammavariate(0.9, 0.25)))
        self.eager = draw.betavariate(2, 9)
        self.first_day = draw.randint(0, days - 1) if draw.random() < 0.6 else 0
        # Has an account from before the first day.
        self.member = draw.random() < 0.3
        # Lends the first device to somebody else now and then: two accounts on one device.
        self.lends = draw.random() < 0.03


class Device:
    """A browser, a mini program's host, or a phone with the app; and what its SDK remembers."""

    def __init__(self, draw, platform):
        self.platform = platform
        self.anonymous_id = _anonymous_id(draw, platform)
        self.maker, self.model = draw.choice(DEVICES["iOS" if platform == "iOS" else "Android"])
        if platform == "MiniProgram" and draw.random() < 0.35:
            self.maker, self.model = draw.choice(DEVICES["iOS"])
        self.os = "iOS" if self.maker == "Apple" else "Android"
        self.os_version = draw.choice(["17.2", "17.4"] if self.os == "iOS" else ["12", "13", "14"])
        self.agent, self.screen, _ = draw.choices(USER_AGENTS, [agent[2] for agent in USER_AGENTS])[0]
        if platform != "js":
            self.screen = (1170, 2532) if self.os == "iOS" else (1080, 2400)
        self.version = draw.choice(APP_VERSIONS)
        self.network = draw.choice(["WIFI", "5G", "4G"])
        # Half of the installations have an SDK that counts sessions itself.
        self.counts_sessions = draw.random() < 0.5
        # A clock that is wrong by hours, on a few.
        self.skew_ms = draw.choice([-7_200_000, 7_380_000, 86_400_000]) if draw.random() < 0.02 else 0
        self.login = None
        self.known = False
        self.day_first = None


def _anonymous_id(draw, platform):
    hexes = lambda digits: f"{draw.getrandbits(4 * digits):0{digits}x}"
    if platform == "js":
        return f"{hexes(15)}-{hexes(14)}-{hexes(8)}-{draw.randint(200000, 2000000)}-{hexes(15)}"
    if platform == "MiniProgram":
        return f"17{draw.randint(10**10, 10**11 - 1)}-{draw.randint(10**6, 10**7)}-0{hexes(14)}-{draw.randint(10**7, 10**8)}"
    if platform == "Android":
        return hexes(16)
    return f"{hexes(8)}-{hexes(4)}-{hexes(4)}-{hexes(4)}-{hexes(12)}".upper()
