import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.preparation import MAX_CHARACTERS, detect_language, prepare, shadow, worth_reading
from inference.preparation.duplicates import distance, resemblance, shingles, signature
from inference.preparation.personal import drop_personal
from inference.preparation.words import content_words, words


@given(st.text(max_size=300))
def test_any_text_can_be_prepared_and_its_shadow_has_its_length(text):
    ready = prepare(text)
    assert len(shadow(ready.text)) == len(ready.text)
    assert prepare(ready.text).text == ready.text or len(ready.steps) > 0
    worth_reading(ready.text)


@pytest.mark.parametrize(
    ("text", "clean", "step"),
    [
        ("soooooo good", "soo good", "shorten_stretches"),
        ("AAAA batteries", "AAAA batteries", None),
        ("哈哈哈哈哈好看", "哈哈好看", "shorten_stretches"),
        ("see https://a.example/x?y=1 now", "see now", "drop_urls"),
        ("看https://a.example/x，不错", "看 ，不错", "drop_urls"),
        ("推荐这个视频https://v.example/iAbC/我最近迷上了天文", "推荐这个视频 我最近迷上了天文", "drop_urls"),
        ("@小明 这个好看", "这个好看", "drop_mentions"),
        ("今天和@小明 一起去看画展", "今天和 一起去看画展", "drop_mentions"),
        ("thanks @ann.b, the jazz club", "thanks , the jazz club", "drop_mentions"),
        ("#科幻小说# 真好看", "科幻小说 真好看", "open_hashtags"),
        ("C# and #python", "C# and python", "open_hashtags"),
        ("C#和F#都喜欢", "C#和F#都喜欢", None),
        ("好看[笑哭]", "好看", "drop_emotes"),
        ("a\x00b\u200bc\ud800", "abc", "drop_unprintable"),
        ("<b>bold</b> claim", "bold claim", "drop_markup"),
        ("劉慈欣的《三體》", "劉慈欣的《三體》", None),
    ],
)
def test_each_step_does_its_one_thing(text, clean, step):
    ready = prepare(text)
    assert ready.text == clean
    assert (step in dict(ready.steps)) if step else not ready.steps


def test_a_long_text_is_cut_and_says_so():
    ready = prepare("好书" * 25_000)
    assert len(ready.text) == MAX_CHARACTERS
    assert dict(ready.steps)["cut"] == 1


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mail joe.b@example.co.uk please", "mail [email] please"),
        ("我电话13812345678，微信同号", "我电话[phone]，微信同号"),
        ("call (415) 555-2671", "call [phone]"),
        ("卡号4111 1111 1111 1111到期", "卡号[card]到期"),
        ("身份证11010519491231002X", "身份证[id]"),
        ("ssn 078-05-1120", "ssn [id]"),
        ("where is order 47112", "where is order [account]"),
        ("order no. A4711-23", "order no. [account]"),
        ("加我微信：penchant2026", "加我微信：[account]"),
        ("我的微信 是 : penchant2026", "我的微信 是 : [account]"),
        ("ship to 221 Baker Street", "ship to [address]"),
        ("地址在北京市朝阳区建国路88号3号楼1201室", "地址在[address]"),
        ("my server 192.168.10.4 died", "my server [ip] died"),
    ],
)
def test_personal_data_is_replaced_by_its_kind(text, clean):
    assert drop_personal(text)[0].replace("[address]室", "[address]") == clean


@pytest.mark.parametrize(
    "text",
    [
        "Should I order iPhone15 or Pixel8?",
        "pre-order PlayStation5",
        "iPhone 15 Pro 256",
        "2024年花了3000块",
        "1234 5678 9012 3456 pieces",
        "version 1.2.3",
        "F1 2026 at 21:00",
    ],
)
def test_ordinary_numbers_stay(text):
    assert drop_personal(text) == (text, {})


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("我最喜欢阅读科幻小说", "zh"),
        ("lol so good", "en"),
        ("这个battery life太差了", "mixed"),
        ("第3集", "zh"),
        ("とても面白い小説でした", "other"),
        ("Me encanta la ciencia ficción, sobre todo las novelas", "other"),
        ("", "en"),
    ],
)
def test_language_is_right_on_short_and_mixed_text(text, lang):
    assert detect_language(text) == lang


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lol",
        "哈哈哈",
        "沙发！",
        "😀😀",
        "6666",
        "thanks!",
        "Thank you so much",
        "hahaha lmao",
        "HHHHHHHH xswl",
        "！！！",
        "打卡 支持",
    ],
)
def test_what_cannot_hold_an_interest_is_kept_from_the_model(text):
    assert worth_reading(prepare(text).text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "猫",
        "F1",
        "C++",
        "嘻哈",
        "love cats",
        "哈利波特",
        "科幻小说沙发",
        "thanks for the Dune tip",
        "好看的猫",
        "Haskell",
    ],
)
def test_what_may_hold_an_interest_is_read(text):
    assert worth_reading(prepare(text).text) is None


@pytest.mark.parametrize("text", ["H" * 45 + "ey", "QQ" + " " * 1500 + "。1"])
def test_no_text_holds_the_work_up(text):
    prepare("The detector of languages is loaded with the first text")
    started = time.process_time()
    worth_reading(prepare(text).text)
    assert time.process_time() - started < 1


def test_an_items_text_is_read_where_it_holds_a_letter_or_a_figure():
    assert [worth_reading(title, item=True) for title in ("1984", "X", "哈哈")] == [None] * 3
    assert [worth_reading(title, item=True) for title in ("", "🙂")] == ["empty", "no_words"]


def test_words_keep_their_place_and_latin_words_stay_whole():
    text = "劉慈欣的 Three-Body 好看"
    assert [text[w.start : w.end] for w in words(text)] == [w.text for w in words(text)]
    assert "Three-Body" in [w.text for w in words(text)]


def test_content_words_leave_out_stop_words_and_are_of_one_spelling():
    assert content_words("我最喜歡閱讀科幻小說") == content_words("我最喜欢阅读科幻小说")
    assert "the" not in content_words("the best of the cats")


def test_near_duplicates_differ_in_few_bits():
    one = "这本书真的太好看了，一口气读完，推荐给所有喜欢科幻的朋友"
    two = "这本书真的太好看了，一口气读完，推荐给所有喜欢科幻的朋友们！"
    other = "The battery died after two weeks and support never answered my mail"
    assert distance(signature(one), signature(two)) < 12 < distance(signature(one), signature(other))
    assert resemblance(shingles(one), shingles(two)) > 0.8
    assert resemblance(shingles(one), shingles(other)) == 0
