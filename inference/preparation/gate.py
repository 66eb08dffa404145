"""The quality gate: texts that cannot hold an interest never reach a model."""

import re

from .shadow import shadow

_LETTERS = re.compile(r"[^\W\d_]+")
_HAN = re.compile(r"[\u3400-\u9fff]")
_PLACEHOLDER = re.compile(r"\[(?:email|card|id|phone|account|ip|address)\]")
_LAUGH = re.compile(r"(?:[哈呵嘿嘻噗嗝额呃啊哦噢嗯唉哎哇呜啦呀喔咦诶欸呐草艹6]|hh+|xs+wl|233+)+")
_LAUGH_EN = re.compile(
    r"(?:ha|he|hi|lo+l|lmf?ao+|rofl|xd+|hmm*|umm*|ah+|oh+|wow+|yay+|ugh+|meh+|nah+|yeah*|yep|yup|nope|huh)+"
)

_NOTHING_ZH = frozenset(
    "沙发 板凳 地板 前排 前排围观 路过 打卡 签到 报到 报道 顶 顶一个 顶顶 赞 点赞 赞赞 支持 支持一下 支持支持 转发 转发微博 转 转了 已阅 收藏了 mark 马克 "
    "谢谢 谢谢分享 感谢 感谢分享 多谢 谢了 谢谢老师 谢谢老板 谢谢亲 谢谢大家 不客气 辛苦了 辛苦啦 加油 加油加油 好的 好吧 好 好滴 好嘞 可以 行 行吧 嗯嗯 是的 是啊 对 对的 对啊 没错 "
    "不错 真不错 很好 挺好 挺好的 真好 太好了 好评 差评 好棒 棒 太棒了 厉害 厉害了 牛 牛逼 牛啊 绝了 绝绝子 无语 呵呵 笑死 笑死我了 笑哭 笑死了 泪目 破防了 爱了 爱了爱了 冲 冲鸭 "
    "来了 来啦 我来了 晚安 早安 早上好 早 早呀 晚上好 你好 您好 在吗 在么 再见 拜拜 收到 已收到 同意 同感 同求 求 求链接 楼主好人 楼上正解 确实 真的 真的吗 真的假的 不会吧 什么鬼 "
    "第一 第一个 第二 抢沙发 火钳刘明 留名 插眼 蹲 蹲一个 蹲蹲 码住 学到了 涨知识了 懂了 明白了 知道了 好家伙 救命 我去 卧槽 我的天 天哪 天啊 妈呀 哭了 醉了 服了 跪了 醉了醉了 生日快乐 新年快乐".split()
)
_NOTHING_EN = frozenset(
    {
        "first", "first comment", "second", "ok", "okay", "k", "kk", "yes", "no", "thanks", "thank you", "thx", "ty", "tysm",
        "thank you so much", "thanks a lot", "thanks so much", "many thanks", "you re welcome", "np", "no problem", "nice",
        "nice one", "good", "great", "cool", "awesome", "amazing", "perfect", "love it", "love this", "so good", "good job",
        "great job", "well done", "same", "same here", "me too", "this", "facts", "true", "so true", "agreed", "i agree", "exactly",
        "bump", "following", "up", "done", "hi", "hello", "hey", "hi all", "hello everyone", "good morning", "gm", "good night",
        "gn", "bye", "see you", "see ya", "brb", "omg", "wtf", "idk", "ikr", "rip", "gg", "w", "l", "based", "cringe", "dead",
        "im dead", "i m dead", "crying", "please", "pls", "sorry", "my bad", "congrats", "congratulations", "happy birthday",
        "wait what", "what", "why", "who", "when", "where", "how", "lol same", "interesting", "cute", "beautiful", "5 stars",
        "worth it", "not bad", "as described", "fast shipping", "arrived on time", "great product", "good product",
    }
)  # fmt: skip


def worth_reading(text: str) -> str | None:
    """None where the text may hold an interest, else why it cannot.

    Reasons: ``empty`` (nothing left after cleaning), ``no_words`` (emoji, marks and digits only), ``too_short`` (one letter),
    ``interjection`` (laughter and the like), ``phrase`` (thanks, first!, and other set phrases about nothing).
    Given in doubt: a model reads a text for nothing at small cost, a lost interest is lost.
    """
    if not text.strip():
        return "empty"
    parts = _LETTERS.findall(_PLACEHOLDER.sub(" ", shadow(text)))
    letters = "".join(parts)
    if not letters:
        return "no_words"
    if len(letters) == 1 and not _HAN.search(letters):
        return "too_short"
    if all(_LAUGH.fullmatch(part) or _LAUGH_EN.fullmatch(part) for part in parts):
        return "interjection"
    spaced = " ".join(parts)
    if letters in _NOTHING_ZH or spaced in _NOTHING_EN or all(p in _NOTHING_ZH or p in _NOTHING_EN for p in parts):
        return "phrase"
    return None
