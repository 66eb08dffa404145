"""Words that show a stance, in Chinese and English, and what turns them round."""

import re
from importlib.resources import files

from inference.preparation import shadow
from profiles.model import Stance

_NEGATION = re.compile(
    r"(?:不|没|別|别|未|无|毫无|莫|甭)(?:是|会|有|太|很|怎么|觉得|能|再|那么|想|要)?$"
    r"|(?:\bnot|n't|\b(?:do|does|did|is|was|are|were|wo|ca|could|would|should)nt|\bno|\bnever|\bhardly|\bwithout|\bnothing"
    r"|\bless|\bcannot)\s+(?:\w+\s+){0,2}$"
)
_QUESTION = re.compile(
    r"[?？]|(?:吗|呢|么|嘛)(?:$|[\s。！，,])|怎么|如何|哪个|哪家|哪款|哪里|哪儿|什么|有没有|求推荐"
    r"|求问|请问|求助|想问|值不值|好不好|能不能|是不是|推荐一?[个下款本部]"
    r"|\b(?:how|what|which|where|who|anyone|any|does|is there|are there|should i"
    r"|can i|recommendations?|suggestions?|vs|difference between|looking for|thinking about|considering)\b"
)
_SARCASM = re.compile(
    r"真是谢谢|谢谢你|感谢.{0,8}让我|可真|好一个|厉害了|真会|呵呵|🙃|🙄|👏|🤡|了不起|真有你的|不愧是|恭喜|不得不说"
    r"|\b(?:thanks for|oh great|yeah right|sure,|just what i|how nice|wow,"
    r"|nothing says|who needs|truly|brilliant,|bravo|slow clap|congrats|genius move|love how|love when|love paying"
    r"|love waiting)\b"
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


def _read_words() -> dict[str, re.Pattern[str]]:
    table = files("inference").joinpath("data", "embedded", "cues.tsv").read_text("utf-8").splitlines()[1:]
    return {cue: _compile(words.split("|")) for cue, words in (line.split("\t") for line in table)}


def _compile(words: list[str]) -> re.Pattern[str]:
    ranked = sorted(words, key=len, reverse=True)
    chinese = "|".join(re.escape(w) for w in ranked if not w.isascii())
    latin = "|".join(re.escape(w).replace(r"\ ", "[- ]") for w in ranked if w.isascii())
    return re.compile(rf"(?:{chinese})|\b(?:{latin})\b")


_WORDS = _read_words()
_REACH = 12


def cues(text: str) -> dict[str, float]:
    """What the words say about the stance: counts by cue, those that do not occur left out."""
    folded = shadow(text).replace("’", "'")
    found: dict[str, float] = {}
    for name, pattern in _WORDS.items():
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


def worded_stance(text: str) -> Stance | None:
    """The stance that all words of praise and blame in a text agree on; None where there are none, or of both."""
    found = cues(text)
    praise, blame = found.keys() & {"like", "not_dislike"}, found.keys() & {"dislike", "not_like"}
    if bool(praise) == bool(blame):
        return None
    return Stance.LIKE if praise else Stance.DISLIKE


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
