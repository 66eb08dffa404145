"""Words that show a stance, in Chinese and English, and what turns them round."""

import re

from inference.preparation import shadow
from profiles.model import Stance

LIKE_ZH = (
    "喜欢 最爱 热爱 超爱 真爱 爱死 爱上 爱了 爱看 爱吃 爱听 爱玩 好看 好吃 好喝 好听 好用 好玩 好闻 推荐 安利 种草 回购 囤货 无限回购 满意 惊艳 惊喜 感动 震撼 治愈 舒服 舒适 舒心 过瘾 上头 上瘾 停不下来 "
    "值得 值了 真香 划算 良心 神作 神器 封神 绝了 绝绝子 yyds 无敌 完美 超赞 赞 五星 满分 精彩 优秀 出色 牛逼 太牛 太强 厉害 给力 靠谱 耐用 清晰 干货 通俗易懂 收获 受益 期待 粉丝 铁粉 入坑 沉迷 循环 刷了 二刷 三刷 "
    "泪目 圆满 开心 快乐 幸福 享受 放松 省心 方便 丝滑 流畅 精致 高级 香 稳 爽 美 温柔 细腻 绵密 不愧 没白 超值 好评 支持 心动 想买 想去 想学 忘不了 怀念 离不开 吹爆 宝藏 天花板 没想到 真好 太好 挺好 很好 不错 "
    "续命 本命 收藏 再来 还会来 回头客 通关 追完 熬夜 期期 每期 每集 一集不落 一口气 安静 整齐 笑得 可爱 温暖 有趣 好奇 着迷 迷上 痴迷 佩服 敬佩 致敬 骄傲 自豪 点赞 省时 省力 高效 专业 耐心 贴心 用心 走心 扎实 透彻 明白 "
    "终于 顺利 成功 满血 救星 救命 神仙 氛围感 出片 入味 软糯 酥 嫩 鲜 解压 清爽 透气 轻便 结实 好闻 显瘦 百搭 好上手 上手快 首选 必备 必买 闭眼入 无痛 长草 期待值 乐此不疲"
).split()
DISLIKE_ZH = (
    "讨厌 厌恶 恶心 难吃 难喝 难看 难听 难用 难闻 失望 后悔 踩雷 避雷 拔草 劝退 退货 退了 退款 退课 弃了 弃剧 弃坑 弃游 垃圾 烂 烂尾 太差 很差 差评 差劲 差 一星 坑 坑爹 坑人 智商税 割韭菜 翻车 无聊 没意思 没劲 枯燥 "
    "尴尬 油腻 做作 敷衍 糊弄 注水 拖沓 催眠 犯困 睡着 看不下去 听不下去 学不下去 受不了 受够 烦 烦死 吐了 无语 崩溃 生气 气死 骗 骗人 骗钱 忽悠 虚假 贵 不值 浪费 鸡肋 没用 掉漆 掉色 起球 缩水 坏了 裂 断 漏 卡 卡顿 "
    "闪退 发热 发烫 异响 臭 刺鼻 腥 腻 齁 过敏 闷痘 粗糙 廉价 山寨 假货 冷淡 态度恶劣 再也不 不会再 别买 别去 别看 慎入 求你别 拉胯 拉垮 下头 毁 毁了 审美疲劳 吃灰 抠脚 呵呵 就这 不行 不如 算了 "
    "疯了 扯皮 辣眼 劣质 糊 看不清 掉线 断连 催 吵 亏 输光 弃了 不玩了 不去了 不买了 白花 白买 套路 千篇一律 崩 磨脚 闷 吓 丑 土 涨价 偷工减料 智障 失灵 难懂 听不懂 看不懂 太难 太慢 太吵 太贵 太咸 太甜 太硬 太水 太假 太长 "
    "太短 太小 太烂 拖 水 照本宣科 念PPT 念稿 没人 排队 等了 漏水 漏油 生锈 异味 掉毛 起皮 卡粉 脱妆 过期 发霉 不新鲜 少发 发错 拒赔 扣费 推销 洗脑 毒鸡汤 滚 难受 头疼 头秃 心累 累觉不爱 浮夸 强行 狗血 降智 注水 塌房 避开 远离"
).split()
LIKE_EN = (
    "love loved loving loves adore adored like liked enjoy enjoyed enjoying favorite favourite fav best great amazing awesome excellent fantastic wonderful brilliant incredible perfect perfectly beautiful beautifully gorgeous "
    "stunning delicious tasty yummy crisp smooth cozy comfy comfortable recommend recommended recommending obsessed addicted hooked fan goat fire slaps banger bussin masterpiece gem underrated worth impressed impressive happy "
    "thrilled excited glad grateful helpful clear clearest solid sturdy reliable flawless genius hilarious moving touching cried binge binged rewatch replay reread lifesaver upgrade finally fell delight delightful charming magic "
    "magical superb stellar winner treat pleasure satisfying cant-wait rebuy repurchase sold converted chefs-kiss insane unreal legend bless peak heaven dream nailed spot-on five-stars "
    "keeper go-to must-have holy-grail life-changing lifechanging changed-my-life worth-every would-buy-again again-and-again lives-up saved helped proud beautiful soothing relaxing gentle generous thoughtful honest sharp "
    "tender juicy crispy fluffy creamy fresh rich warm soft lightweight quiet effortless seamless cant-stop can't-stop couldn't-put never-gets-old wholesome goosebumps chills tears giggling grinning smiling laughed cackling"
).split()
DISLIKE_EN = (
    "hate hated hates hating dislike disliked awful terrible horrible worst bad poor trash garbage rubbish junk crap boring bored dull tedious bland soggy stale gross disgusting disappointing disappointed disappointment disappoint "
    "waste wasted overrated overpriced refund refunded return returned returning broke broken breaks cracked crashed crashes crash buggy laggy slow useless pointless cheap flimsy scam ripoff rip-off cringe annoying annoyed "
    "frustrating frustrated painful unbearable unwatchable unreadable dnf quit quitting uninstalled cancel cancelled canceled unsubscribed regret regretted avoid skip skipped never sick tired fed-up lazy shallow mess messy ruined "
    "ruin joke flop mid meh nope ugh yikes worse fails failed failing failure stopped leaks leaking itchy rash smells stinks loud noisy lukewarm misleading clickbait snooze asleep hard-pass nothing barely stuck dead dying died "
    "unusable overcrowded delayed late missing wrong scratched peeling wobbly over-it give-up gave-up giving-up no-thanks pass letdown let-down zero-stars one-star supposed-to not-for-me going-back rust rusted mold dirty sticky "
    "greasy dry bitter burnt raw cold rude ignored waited waiting hours complaint complained fees hidden charged refuse refused denied canned lecture preachy predictable forced tone-deaf unfunny drag drags dragging slog "
    "confusing confused lost headache nightmare disaster hell worst-ever worse-than downgrade nerfed grindy paywall pay-to-win ads spam fake knockoff stained torn ripped shrunk faded itches cracking"
).split()
_NEGATION = re.compile(
    r"(?:不|没|別|别|未|无|毫无|莫|甭)(?:是|会|有|太|很|怎么|觉得|能|再|那么|想|要)?$"
    r"|(?:\bnot|n['’]?t|\bno|\bnever|\bhardly|\bwithout|\bnothing|\bless|\bcannot)\s+(?:\w+\s+){0,2}$"
)
_QUESTION = re.compile(
    r"[?？]|(?:吗|呢|么|嘛)(?:$|[\s。！，,])|怎么|如何|哪个|哪家|哪款|哪里|哪儿|什么|有没有|求推荐|求问|请问|求助|想问|值不值|好不好|能不能|是不是|推荐一?[个下款本部]"
    r"|\b(?:how|what|which|where|who|anyone|any|does|is there|are there|should i|can i|recommendations?|suggestions?|vs|difference between|looking for|thinking about|considering)\b"
)
_SARCASM = re.compile(
    r"真是谢谢|谢谢你|感谢.{0,8}让我|可真|好一个|厉害了|真会|呵呵|🙃|🙄|👏|🤡|了不起|真有你的|不愧是|恭喜|不得不说"
    r"|\b(?:thanks for|oh great|yeah right|sure,|just what i|how nice|wow,|nothing says|who needs|truly|brilliant,|bravo|slow clap|congrats|genius move|love how|love when|love paying|love waiting)\b"
)
_PLAIN_LIKE = re.compile(
    r"最爱|最喜欢|热爱|超爱|超喜欢|\b(?:love[sd]?|favou?rite|amazing|awesome|fantastic|obsessed)\b"
)
_PLAIN_DISLIKE = re.compile(
    r"难吃|难喝|难看|难听|难用|讨厌|厌恶|恶心|垃圾|太差|差评|失望"
    r"|\b(?:hate[sd]?|awful|terrible|horrible|worst|disgusting|garbage|rubbish|disappoint\w*)\b"
)
_EMOJI_LIKE = re.compile("[😍🥰❤💕💖😘🤩👍💯🔥😋🤤🥹✨🎉😊😄😁🙌💪]")
_EMOJI_DISLIKE = re.compile("[😡🤬🤮🤢👎😤😒🙄💔😑😞😠🙃🤡😩😫💩]")


def _compile(chinese: list[str], english: list[str]) -> re.Pattern[str]:
    zh = "|".join(map(re.escape, sorted(chinese, key=len, reverse=True)))
    en = "|".join(re.escape(w).replace(r"\-", "[- ]") for w in sorted(english, key=len, reverse=True))
    return re.compile(rf"(?:{zh})|\b(?:{en})\b")


_LIKE = _compile(LIKE_ZH, LIKE_EN)
_DISLIKE = _compile(DISLIKE_ZH, DISLIKE_EN)
_REACH = 12


def cues(text: str) -> dict[str, float]:
    """What the words say about the stance: counts by cue, those that do not occur left out."""
    folded = shadow(text).replace("’", "'")
    found: dict[str, float] = {}
    for name, pattern in (("like", _LIKE), ("dislike", _DISLIKE)):
        for match in pattern.finditer(folded):
            negated = bool(_NEGATION.search(folded[max(0, match.start() - _REACH) : match.start()]))
            cue = f"not_{name}" if negated else name
            found[cue] = found.get(cue, 0.0) + 1.0
    for name, pattern in (
        ("question", _QUESTION),
        ("sarcasm", _SARCASM),
        ("emoji_like", _EMOJI_LIKE),
        ("emoji_dislike", _EMOJI_DISLIKE),
    ):
        if count := len(pattern.findall(folded)):
            found[name] = float(min(count, 3))
    return found


def plain_stance(text: str) -> Stance | None:
    """The stance of a text that says it in so many words, and says nothing to the contrary; else None.

    The gold comments show their stance in roundabout ways, as people do; the plainest words are rare in them, and a
    head trained on them alone would miss 太难吃了.
    """
    folded, found = shadow(text), cues(text)
    likes, dislikes = bool(_PLAIN_LIKE.search(folded)), bool(_PLAIN_DISLIKE.search(folded))
    if dislikes and not likes and "not_dislike" not in found:
        return Stance.DISLIKE
    if likes and not dislikes and not {"not_like", "dislike"} & found.keys():
        return Stance.LIKE
    return None
