"""Personal data, replaced by what it was, before any model or evidence sees it."""

import re
from collections.abc import Iterator

from phonenumbers import Leniency, PhoneNumberMatcher

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_DIGITS = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?!\d)")
_CHINESE_ID = re.compile(r"(?<!\d)[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?!\d)")
_SOCIAL_SECURITY = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")
_PASSPORT = re.compile(r"(?<![A-Za-z0-9])[EGDSPH]\d{8}(?!\d)")
_IP_ADDRESS = re.compile(r"(?<![\d.])(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\d.]*\d)")
_ACCOUNT = re.compile(
    r"((?:微信号?|[vV][xX]|WeChat|wechat|weixin|QQ号?|qq号?|[qQ]群|订单号?|单号|order (?:no\.?|number|id)"
    r"|(?<![A-Za-z-])order(?=\s*[:：#]|\s+\d))"
    r"\s*(?:(?:是|为|is)\s*)?(?:[:：#]\s*)?)((?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{5,})"
)
_STREET_EN = re.compile(
    r"(?<!\w)\d{1,5}[A-Za-z]?\s+(?:[NSEW]\.?\s+)?(?:[A-Z][\w'.]*\s+){1,3}"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Terrace|Close|Crescent)\b\.?"
    r"(?:,?\s+(?:Apt|Apartment|Suite|Unit|Flat|#)\.?\s*\w+)?(?:,?\s+[A-Z]{2}\s+\d{5}(?:-\d{4})?)?"
)
_PLACE = r"(?:(?![在住到寄是址给送去于])[\u4e00-\u9fff])"
_STREET_ZH = re.compile(
    rf"(?:{_PLACE}{{2,8}}(?:省|自治区))?(?:{_PLACE}{{2,7}}[市州盟])?(?:{_PLACE}{{1,7}}[区县旗])?"
    rf"{_PLACE}{{1,10}}?"
    r"(?:路|街|大道|巷|弄|胡同|小区|花园|苑|村)[\u4e00-\u9fff]{0,6}\d{1,5}(?:号|弄|栋|幢|号楼)"
    r"(?:[\u4e00-\u9fff]{0,6}\d{1,4}(?:栋|幢|号楼|单元|室|号|楼|层))*(?:\d{3,4}室?)?"
)
_CARD_LENGTHS = range(13, 20)


def drop_personal(text: str) -> tuple[str, dict[str, int]]:
    """The text with each piece of personal data replaced by its kind in brackets, and the pieces counted by kind.

    Kinds: email, card, id, phone, account, ip, address. Numbers are checked before they are believed: cards by
    their check digit, phones by the numbering plans of the world, China and the United States.
    """
    counts: dict[str, int] = {}
    if not any(c.isdigit() for c in text) and "@" not in text:
        return text, counts
    for kind, pattern in (("email", _EMAIL), ("id", _CHINESE_ID), ("id", _SOCIAL_SECURITY), ("id", _PASSPORT)):
        text = _replace(text, kind, [m.span() for m in pattern.finditer(text)], counts)
    text = _replace(text, "card", _cards(text), counts)
    text = _replace(text, "phone", _phones(text), counts)
    text = _replace(text, "account", [m.span(2) for m in _ACCOUNT.finditer(text)], counts)
    for kind, pattern in (("ip", _IP_ADDRESS), ("address", _STREET_EN), ("address", _STREET_ZH)):
        text = _replace(text, kind, [m.span() for m in pattern.finditer(text)], counts)
    return text, counts


def _replace(text: str, kind: str, spans: list[tuple[int, int]], counts: dict[str, int]) -> str:
    for start, end in reversed(spans):
        text = f"{text[:start]}[{kind}]{text[end:]}"
    if spans:
        counts[kind] = counts.get(kind, 0) + len(spans)
    return text


def _cards(text: str) -> list[tuple[int, int]]:
    return [m.span() for m in _DIGITS.finditer(text) if _has_check_digit([int(c) for c in m.group() if c.isdigit()])]


def _has_check_digit(digits: list[int]) -> bool:
    doubled = [d * 2 - 9 * (d > 4) if i % 2 else d for i, d in enumerate(reversed(digits))]  # noqa: PLR2004
    return len(digits) in _CARD_LENGTHS and sum(doubled) % 10 == 0 and len(set(digits)) > 1


def _phones(text: str) -> list[tuple[int, int]]:
    if sum(c.isdigit() for c in text) < 7:  # noqa: PLR2004 - the shortest number that names one person
        return []
    spans = sorted(set(_phones_of(text, "CN")) | set(_phones_of(text, "US")))
    kept: list[tuple[int, int]] = []
    for start, end in spans:
        if kept and start < kept[-1][1]:
            kept[-1] = (kept[-1][0], max(end, kept[-1][1]))
        else:
            kept.append((start, end))
    return kept


def _phones_of(text: str, region: str) -> Iterator[tuple[int, int]]:
    for match in PhoneNumberMatcher(text, region, leniency=Leniency.VALID):
        yield match.start, match.end
