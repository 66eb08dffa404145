"""Sentences that command a reading model are no words of interest: they are blanked before anything is read."""

import re

_SENTENCE = re.compile(r"[^。！？!?\n]+?(?:[。！？!?\n]+|\.(?=\s|$)|$)")
_START = r"(?:(?:^|[.!?:;,\]])[^\w.!?:;,\]]*|\b(?:please|just|now|then|instead|must|and)\s+)"
_START_ZH = r"(?:(?:^|[，。！？；：、,.!?;:】\]])[^\w，。！？；：、,.!?;:】\]]*|请|直接|只|必须|务必|然后|现在|并)"
_COMMAND = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass|switch off|turn off)\b.{0,40}"
    r"\b(?:instructions?|prompts?|rules?|above|previous|prior|guidelines?|everything you|your (?:task|policy))\b"
    r"|\bsystem\s*(?:prompt|override|message|note)?\s*[:：\]]|\bsystem prompt\b|\bnew instructions?\b"
    r"|\bassistant\s*[:：,]"
    r"|\b(?:attention|dear|hey|hello)\s+(?:ai|model|classifier|assistant|bot|llm)\b|\bhidden prompt\b"
    r"|\b(?:stop|do not|don't)\s+(?:analy[sz]|classify|summari[sz]e)|\breturn (?:an )?empty\b|\boutput nothing\b"
    r"|\byou are (?:now|an? (?:ai|assistant|language model))\b|\bas an? (?:ai|language model)\b|\bdeveloper mode\b"
    rf"|{_START}(?:output|respond|reply|answer|return|print|classify|label|mark|tag|set|record|write|say)\b.{{0,50}}"
    r"\b(?:only with|exactly|json|interests?|concepts?|the word|th(?:is|e) user|profile"
    r"|stance|sentiment|positive|loves? everything)\b"
    r"|(?:忽略|无视|忘记|忘掉|不要管|别管|跳过).{0,14}(?:指令|要求|规则|提示|设定|以上|之前|上面|前面|说明)"
    r"|(?:系统提示|提示词|管理员密码|隐藏指令)|别按.{0,6}(?:规则|要求)|(?:AI|模型|机器人|助手)请注意"
    r"|(?:系统|管理员|开发者)(?:提示|指令|消息|命令|模式)?[:：】\]]|你(?:现在)?(?:是|扮演)(?:一个)?.{0,8}(?:AI|助手|模型|机器人|翻译机)"
    rf"|{_START_ZH}(?:输出|返回|标记|标注|打上|写入|添加|回答).{{0,24}}"
    r"(?:该用户|此用户|这个用户|兴趣|标签|json|概念|like|dislike|喜欢一切|喜欢所有|正面)"
    r"|(?:把|将)(?:我|该用户|这个用户|用户|本条|这条).{0,14}(?:标记|标为|标成|设为|设成|归类|归为|改成|列为|判为|判成|写成)",
    re.IGNORECASE,
)
_ORDER = re.compile(
    r"\s*(?:please |just |and |then )*(?:say|print|return|write|output|classify|label|mark|respond|reply|list"
    r"|confirm|set)\b"
    r"|\s*(?:请|直接|然后|现在|立刻)*(?:输出|返回|打印|执行|回复|标记|写)",
    re.IGNORECASE,
)


def without_commands(text: str) -> str:
    """The text with commanding sentences blanked: offsets stay what they are. After a command, bare orders go too."""
    if not _COMMAND.search(text):
        return text
    return _SENTENCE.sub(
        lambda m: " " * len(m.group()) if _COMMAND.search(m.group()) or _ORDER.match(m.group()) else m.group(), text
    )
