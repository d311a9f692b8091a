"""Messages as requests, in the encodings of the SDKs."""

import base64
import gzip
import json
import urllib.parse
from dataclasses import dataclass, field

_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
FORM = "application/x-www-form-urlencoded"
AGENTS = {
    "MiniProgram": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.49 NetType/WIFI Language/zh_CN",
    "Android": "Dalvik/2.1.0 (Linux; U; Android 14; ALN-AL00 Build/HUAWEIALN-AL00)",
    "iOS": "SensorsAnalytics iOS SDK",
    "Java": "SensorsAnalytics Java SDK 3.6.8",
}


@dataclass
class Request:
    """One HTTP request, and when it arrives (ms)."""

    at: int
    ip: str
    method: str
    target: str
    agent: str
    body: str = ""
    content_type: str = ""
    events: int = 1
    # The messages and who sent them, to encode them anew when they are sent again.
    messages: list = field(default_factory=list, repr=False)


def crc(text):
    """`String.hashCode` of Java; the text is ASCII here."""
    total = 0
    for byte in text.encode("ascii"):
        total = (total * 31 + byte) & 0xFFFFFFFF
    return total - 2**32 if total >= 2**31 else total


def _base64(data):
    return base64.b64encode(data).decode("ascii")


def _quote(text):
    return urllib.parse.quote(text, safe="")


def encode(messages, at, path, ip, platform, agent, style):
    """A batch of one SDK; `style` (0 to 9) picks among the ways that SDK has."""
    agent = agent if platform == "js" else AGENTS[platform]
    request = Request(at, ip, "POST", path, agent, content_type=FORM, events=len(messages), messages=messages)
    if platform == "js":
        if len(messages) > 1:
            request.body = "data_list=" + _quote(_base64(_dump(messages).encode()))
            return request
        data = _base64(_dump(messages[0]).encode())
        pairs = f"data={_quote(data)}&ext={_quote(f'crc={crc(data)}')}"
        if style < 3 and len(pairs) < 6000:
            request.method, request.content_type = "GET", ""
            request.target = path.replace("/sa?", "/sa.gif?") + "&" + pairs
        else:
            request.body = pairs
            request.content_type = FORM if style < 7 else "text/plain;charset=UTF-8"
        return request
    if platform == "MiniProgram":
        request.content_type = "text/plain"
        text = _dump(messages).encode()
        if style < 5:
            request.body = "data_list=" + _quote(_base64(text))
        else:
            request.body = "data_list=" + _quote(_base64(gzip.compress(text, 1, mtime=0))) + "&gzip=1"
        return request
    data = _base64(gzip.compress(_dump(messages).encode(), 1, mtime=0))
    if platform == "Java":
        request.body = f"gzip=1&data_list={_quote(data)}"
    else:
        request.body = f"crc={crc(data)}&gzip=1&data_list={_quote(data)}"
    return request


def log_line(request):
    """The request as a line of an access log that holds `$request_body` (JSON, `$msec`): what `tusk import` reads."""
    return _dump({
        "time": f"{request.at // 1000}.{request.at % 1000:03d}",
        "ip": request.ip,
        "request": f"{request.method} {request.target} HTTP/1.1",
        "ua": request.agent,
        "body": request.body,
    })
