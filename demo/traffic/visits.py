"""What a person does in one visit: from the first page to an order, in the words of the platform."""

import sdk
from world import CHANNELS, DAY_MS, KEYWORDS

PAGES = {"/": "首页", "/list": "商品列表", "/cart": "购物车", "/mine": "我的", "/activity/618": "618 主会场", "/search": "搜索"}
METHODS = ["微信支付", "支付宝", "银行卡"]


class Visit:
    """A walk through the shop on one device."""

    def __init__(self, draw, person, device, start, day, goods, orders, borrower=None):
        self.borrower = borrower
        self.draw, self.person, self.device = draw, person, device
        self.now, self.start, self.day = start, start, day
        self.goods, self.orders = goods, orders
        # Mostly the channel that brought the person first; now and then directly, or by another one.
        self.channel = person.channel
        if device.known and (dice := draw.random()) < 0.45:
            self.channel = CHANNELS[0] if dice < 0.3 else draw.choices(CHANNELS, [channel[5] for channel in CHANNELS])[0]
        session = f"{draw.getrandbits(64):016x}{start}" if device.counts_sessions else None
        self.client = sdk.Client(draw, person, device, day, session, self.channel)
        # (time, record) of the shop's services.
        self.server = []
        self.page_path, self.page_from = None, start

    def wait(self, low_ms, high_ms):
        self.now += self.draw.randint(low_ms, high_ms)

    def track(self, event, properties=None):
        return self.client.track(self.now, event, properties)

    def walk(self):
        """The whole visit; `self.client.messages` and `self.server` hold it then."""
        first = not self.device.known
        if first:
            self.device.known, self.device.day_first = True, self.day
            self.client = sdk.Client(self.draw, self.person, self.device, self.day, self.client.session, self.channel)
        draw, platform = self.draw, self.device.platform
        if platform == "iOS" and draw.random() < 0.06:
            # Woken by a push in the background, long before anybody looks.
            self.track("$AppStartPassively", {"$app_state": "background"})
            if draw.random() < 0.5:
                return
            self.wait(2_400_000, 5_400_000)
            self.start = self.page_from = self.now
        if first:
            self._arrive()
        self._open(first)
        if platform in ("Android", "iOS") and draw.random() < 0.05:
            # Opened by a push and closed at once: events, and no page.
            self.track("PushClick", {"push_title": "降价提醒🎉", "push_id": draw.randint(1, 9)})
            self._close()
            return
        self._browse()
        self._close()

    def _arrive(self):
        source = self.person.channel[0] or "direct"
        self.client.profile(self.now, "profile_set_once", {
            "$first_visit_time": sdk.local(self.now), "$utm_source": source, "first_platform": self.device.platform,
            "$first_traffic_source_type": self.person.channel[3],
        })
        if self.device.platform in ("Android", "iOS"):
            self.track("$AppInstall", {"$ios_install_source": "AppStore"} if self.device.os == "iOS" else {})
            self.wait(50, 400)

    def _open(self, first):
        platform = self.device.platform
        if platform in ("Android", "iOS"):
            self.track("$AppStart", {"$is_first_time": first, "$resume_from_background": not first})
        elif platform == "MiniProgram":
            scene = self.draw.choice(["wx-1001", "wx-1007", "wx-1011", "wx-1089"])
            self.track("$MPLaunch", {"$is_first_time": first, "$scene": scene, "$url_path": "pages/index"})
            self.wait(5, 60)
            self.track("$MPShow", {"$scene": scene, "$url_path": "pages/index"})
        self.wait(80, 700)
        if self.borrower:
            self.client.login(self.now, self.borrower)
            self.wait(20, 300)
        elif self.person.member and not self.device.login and self.draw.random() < 0.4:
            self._login()

    def _login(self):
        self.client.login(self.now, self.person.login)
        self.wait(20, 300)

    def _page(self, path, title, landing=False):
        self._leave()
        channel, platform = self.channel, self.device.platform
        properties = {"$title": title}
        if landing and channel[0]:
            properties |= {"$utm_source": channel[0], "$utm_medium": channel[1], "$utm_campaign": channel[2]}
        if platform == "js":
            query = f"?utm_source={channel[0]}" if landing and channel[0] else ""
            referrer = channel[4] if landing else sdk.SHOP + "/"
            properties |= {"$url": sdk.SHOP + path + query, "$url_path": path.split("?")[0], "$url_query": query.lstrip("?"), "$referrer": referrer,
                           "$referrer_host": referrer.split("/")[2] if referrer else "", "$is_first_time": landing and self.device.day_first == self.day}
            self.track("$pageview", properties)
        elif platform == "MiniProgram":
            properties |= {"$url_path": "pages" + path.split("?")[0], "$url_query": path.partition("?")[2], "$referrer": "直接打开" if landing else "pages/index"}
            self.track("$MPViewScreen", properties)
        elif path.startswith("/activity"):
            # A page of the web inside the app.
            self.client.h5(self.now, properties | {"$url": sdk.SHOP + path, "$url_path": path, "$url_host": "shop.example.com"})
        else:
            properties |= {"$screen_name": "com.example.shop." + (path.split("?")[0].strip("/") or "home"), "$url": "shop:/" + path}
            self.track("$AppViewScreen", properties)
        self.page_path, self.page_from = path, self.now

    def _leave(self):
        """The page before ends: how long it was looked at, in seconds and without a dollar sign."""
        if self.page_path is None or self.draw.random() < 0.3:
            return
        seconds = round((self.now - self.page_from) / 1000, 3)
        platform, path = self.device.platform, self.page_path.split("?")[0]
        if self.draw.random() < 0.002:
            seconds = 172_800.5
        if platform == "js":
            self.track("$WebPageLeave", {"event_duration": seconds, "$url": sdk.SHOP + path, "$url_path": path, "$title": PAGES.get(path, "商品详情")})
        elif platform == "MiniProgram":
            self.track("$MPPageLeave", {"event_duration": seconds, "$url_path": "pages" + path, "$title": PAGES.get(path, "商品详情")})
        elif not path.startswith("/activity"):
            self.track("$AppPageLeave", {"event_duration": seconds, "$screen_name": "com.example.shop." + (path.strip("/") or "home"), "$title": PAGES.get(path, "商品详情")})
        self.wait(1, 30)

    def _close(self):
        self._leave()
        self.wait(200, 4000)
        seconds = round((self.now - self.start) / 1000, 3)
        if self.device.platform in ("Android", "iOS"):
            self.track("$AppEnd", {"event_duration": seconds})
        elif self.device.platform == "MiniProgram":
            self.track("$MPHide", {"event_duration": seconds, "$url_path": "pages/index"})

    def _browse(self):
        draw = self.draw
        landing = draw.choices(["/", "/activity/618", "/list"], [7, 2, 1])[0]
        self._page(landing, PAGES[landing], landing=True)
        if draw.random() < 0.3:
            return
        for _ in range(1 + int(draw.expovariate(0.4))):
            self.wait(2_000, 80_000)
            if draw.random() < 0.02:
                # Put away for a while: over half an hour the visit is another one.
                self.wait(900_000, 2_700_000)
            dice = draw.random()
            if dice < 0.2:
                self._search()
            elif dice < 0.75:
                self._look()
            elif dice < 0.9:
                path = draw.choice(list(PAGES))
                self._page(path, PAGES[path])
            else:
                self._click(draw.choice(["领券", "分享", "收藏", "客服"]))

    def _search(self):
        draw = self.draw
        found = draw.choice([0, 3, 12, 40, 188])
        self.track("SearchProduct", {"keyword": draw.choice(KEYWORDS), "result_count": found, "has_result": found > 0, "tags": draw.sample(["包邮", "新品", "自营"], draw.randint(0, 2))})

    def _click(self, text):
        common = {"$element_content": text, "$element_type": "button", "$element_id": f"btn_{len(text)}"}
        platform = self.device.platform
        if platform == "js":
            self.track("$WebClick", common | {"$url": sdk.SHOP + "/", "$url_path": "/", "$page_x": self.draw.randint(0, 1200), "$page_y": self.draw.randint(0, 3000)})
        elif platform == "MiniProgram":
            self.track("$MPClick", common)
        else:
            self.track("$AppClick", common | {"$screen_name": "com.example.shop.home"})

    def _price(self, price):
        """One property, three spellings: Android's developers put it in quotes, once with the unit behind."""
        if self.device.platform != "Android":
            return price
        return f"{price}元" if self.draw.random() < 0.01 else str(price)

    def _id(self, number_id):
        """iOS sends the 19 digits as a number."""
        return number_id if self.device.platform == "iOS" else str(number_id)

    def _look(self):
        draw = self.draw
        number_id, name, category, price, brand = self.goods.draw(draw)
        self._page(f"/item?id={number_id}", "商品详情")
        # Now and then in the same millisecond as the page.
        self.now += draw.choice([0, 0, 120, 800, 1500])
        thing = {"product_id": self._id(number_id), "category": category, "price": self._price(price)}
        viewed = thing | {"product_name": name, "brand": brand}
        adds = draw.random() < 0.2 + self.person.eager * 0.5
        if adds and draw.random() < 0.04:
            # In one millisecond, and the wrong way round.
            self.track("AddToCart", thing | {"quantity": 1})
            self.track("ViewProduct", viewed)
            return
        self.track("ViewProduct", viewed)
        if not adds:
            return
        self.now += draw.choice([0, 3_000, 20_000, 45_000])
        quantity = draw.choice([1, 1, 1, 2, 3])
        self.track("AddToCart", thing | {"quantity": quantity})
        if draw.random() < 0.25 + self.person.eager:
            self._order(number_id, category, price, quantity)

    def _order(self, number_id, category, price, quantity):
        draw, person = self.draw, self.person
        self.wait(4_000, 90_000)
        if not self.device.login:
            person.member = True
            self._login()
            self.client.profile(self.now, "profile_set", {
                "name": person.name, "gender": person.gender, "age_group": person.age, "mobile": person.mobile, "vip_level": 0,
            })
            self.wait(50, 900)
        number = next(self.orders)
        amount, coupon = round(price * quantity, 2), draw.choice([0, 0, 0, 5, 10])
        order_id = f"O{number}"
        self.track("SubmitOrder", {
            "order_id": order_id, "amount": amount, "coupon_amount": coupon, "category": category, "quantity": quantity,
            "product_id": self._id(number_id), "product_ids": [str(number_id)], "has_coupon": coupon > 0,
        })
        if draw.random() > 0.82:
            return
        # Mostly at once; some come back to it after hours or days.
        late = draw.random() < 0.06
        time = self.now + (draw.randint(3_600_000, 5 * DAY_MS) if late else draw.randint(3_000, 90_000))
        paid = round(max(0.01, amount - coupon), 2)
        account, numeric = self.device.login, draw.random() < 0.5
        self.server.append((time, sdk.server_event(draw, time, account, "PayOrder", {
            "order_id": order_id, "amount": paid, "pay_method": draw.choices(METHODS, [6, 3, 1])[0], "category": category,
        }, numeric)))
        self.server.append((time + 1, sdk.server_profile(draw, time + 1, account, "profile_increment", {"pay_count": 1, "pay_amount": paid})))
        self.server.append((time + 2, sdk.server_profile(draw, time + 2, account, "profile_append", {"bought": [category]})))
        if draw.random() < 0.04:
            refund = time + draw.randint(DAY_MS // 2, 2 * DAY_MS)
            self.server.append((refund, sdk.server_event(draw, refund, account, "RefundOrder", {"order_id": order_id, "amount": paid, "reason": draw.choice(["不想要了", "尺码不合", "七天无理由"])})))
