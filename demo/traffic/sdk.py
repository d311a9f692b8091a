"""Messages in the shape each SDK gives them: ids, preset properties, `lib`."""

import datetime

from world import VERSIONS

APP = {"$app_id": "com.example.shop", "$app_name": "小象商城"}
SHOP = "https://shop.example.com"
_SHANGHAI = datetime.timezone(datetime.timedelta(hours=8))
_DEVICE_KEY = {"js": "$identity_cookie_id", "MiniProgram": "$identity_mp_id", "Android": "$identity_android_id", "iOS": "$identity_idfv"}


def local(ms):
    """A date property: the client's local time, without a zone."""
    return datetime.datetime.fromtimestamp(ms / 1000, _SHANGHAI).strftime("%Y-%m-%d %H:%M:%S.") + f"{ms % 1000:03d}"


class Client:
    """One visit on one device: makes messages, in the order they are told."""

    def __init__(self, draw, person, device, day, session, channel):
        self.draw, self.person, self.device = draw, person, device
        self.session, self.channel = session, channel
        self.messages = []
        self._preset = self._presets(day)

    def _presets(self, day):
        device, person = self.device, self.person
        preset = {
            "$lib": device.platform,
            "$lib_version": VERSIONS[device.platform],
            "$screen_width": device.screen[0],
            "$screen_height": device.screen[1],
            "$timezone_offset": -480,
            "$is_first_day": device.day_first == day,
            "$country": "中国",
            "$province": person.province,
            "$city": person.city,
        }
        if device.platform != "js":
            preset |= {"$os": device.os, "$os_version": device.os_version, "$manufacturer": device.maker, "$brand": device.maker,
                       "$model": device.model, "$network_type": device.network}
        if device.platform in ("Android", "iOS"):
            preset |= APP | {"$app_version": device.version, "$device_id": device.anonymous_id, "$wifi": device.network == "WIFI"}
        if device.platform == "MiniProgram":
            preset |= {"$app_id": "wx0123456789abcdef", "$app_version": device.version}
        source, medium, campaign, traffic = self.channel[:4]
        preset["$latest_traffic_source_type"] = traffic
        if source:
            preset |= {"$latest_utm_source": source, "$latest_utm_medium": medium, "$latest_utm_campaign": campaign}
        elif device.platform == "js":
            preset["$latest_search_keyword"] = "未取到值_直接打开" if traffic == "直接流量" else "未取到值"
        return preset

    def _identities(self, record):
        """The ids of a record: the device's, and the account's once there is one."""
        device = self.device
        identities = {_DEVICE_KEY[device.platform]: device.anonymous_id}
        if device.platform in ("js", "MiniProgram"):
            identities["$identity_anonymous_id"] = device.anonymous_id
        record["distinct_id"] = device.anonymous_id
        if device.login:
            record["distinct_id"] = record["login_id"] = device.login
            identities["$identity_login_id"] = device.login
        record["anonymous_id"] = device.anonymous_id
        record["identities"] = identities
        return record

    def _record(self, time, kind, properties):
        """Times are the device's, whose clock may be wrong."""
        record = self._identities({"type": kind, "time": time + self.device.skew_ms, "_track_id": self._track_id()})
        platform = self.device.platform
        record["lib"] = {"$lib": platform, "$lib_version": VERSIONS[platform], "$lib_method": "code"}
        if "$app_version" in self._preset:
            record["lib"]["$app_version"] = self.device.version
        record["properties"] = properties
        self.messages.append((time, record))
        return record

    def _track_id(self):
        if self.device.platform == "Android":
            return self.draw.randint(-(2**31), 2**31 - 1)
        return self.draw.randint(1, 2**32 - 1 if self.device.platform == "iOS" else 999_999_999)

    def track(self, time, event, properties=None):
        """An event."""
        merged = self._preset | (properties or {})
        if self.session:
            merged["$event_session_id"] = self.session
        record = self._record(time, "track", merged)
        record["event"] = event
        if event.startswith("$"):
            record["lib"]["$lib_method"] = "autoTrack"
        return record

    def h5(self, time, properties):
        """A web page inside the app: its event goes through the app's SDK, under the app's ids."""
        record = self.track(time, "$pageview", properties)
        record["_hybrid_h5"] = True
        record["lib"] = {"$lib": "js", "$lib_version": VERSIONS["js"], "$lib_method": "code", "$app_version": self.device.version}
        record["properties"] |= {"$lib": "js", "$lib_version": VERSIONS["js"]}

    def profile(self, time, kind, properties):
        """A change of the person's profile."""
        self._record(time, kind, properties)

    def login(self, time, account):
        """The device gets an account; where it had none the two are bound."""
        if self.device.login == account:
            return
        self.device.login = account
        record = self.track(time, "$SignUp")
        record["type"] = "track_signup"
        record["original_id"] = self.device.anonymous_id


def server_event(draw, time, account, event, properties, numeric_id=False):
    """What the shop's own Java service sends."""
    lib = {"$lib": "Java", "$lib_version": VERSIONS["Java"], "$lib_method": "code", "$lib_detail": "shop.Orders##pay##Orders.java##71"}
    return {
        "_track_id": draw.randint(-(2**31), 2**31 - 1),
        "type": "track",
        "event": event,
        # Some services keep account numbers as numbers.
        "distinct_id": int(account) if numeric_id and account.isdigit() else account,
        "time": time,
        "lib": lib,
        "properties": {"$lib": "Java", "$lib_version": VERSIONS["Java"], "$is_login_id": True} | properties,
    }


def server_profile(draw, time, account, kind, properties):
    """A profile change by the shop's own Java service."""
    record = server_event(draw, time, account, "", properties)
    record["type"] = kind
    record["properties"] = properties
    del record["event"]
    return record


def item(time, goods):
    """An item of the catalogue."""
    number_id, name, category, price, brand = goods
    return {
        "_track_id": number_id % 2**31,
        "type": "item_set",
        "item_type": "sku",
        "item_id": str(number_id),
        "time": time,
        "lib": {"$lib": "Java", "$lib_version": VERSIONS["Java"], "$lib_method": "code"},
        "properties": {"name": name, "category": category, "price": price, "brand": brand},
    }
