"""Training: examples are right, scores are right, and a tiny random model goes through a whole run."""

import json
import random

import pytest

from inference import prompt
from inference.taxonomy import Taxonomy
from inference.training import TrainingConfig, examples, score, suggestions, train

ROWS = [
    {"text": "周杰伦的歌循环到半夜", "gold": [{"concepts": ["338"], "entities": ["周杰伦"], "stance": "like"}]},
    {"text": "Not a fan of Dyson vacuums", "gold": [{"concepts": ["274"], "entities": ["Dyson"], "stance": "dislike"}]},
    {"text": "快递放门口就行", "gold": []},
]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS * 4) + "\n", encoding="utf-8")
    return path


def test_a_gold_row_becomes_prompt_and_answer(data):
    made = examples.load([data])
    slug = Taxonomy.load().by_id["338"].slug
    assert (made[0].text, made[0].answer) == (ROWS[0]["text"], f'[{{"e":"周杰伦","c":"{slug}","s":"like"}}]')
    assert made[2].answer == "[]"


@pytest.mark.parametrize("line", ["{", '{"text": "x"}', '{"text": "x", "gold": [{"concepts": ["no such id"]}]}'])
def test_a_row_that_is_none_is_named(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROWS[2]) + "\n" + line + "\n")
    with pytest.raises(ValueError, match=r"rows.jsonl:2 is no gold row"):
        examples.load([path])


def test_the_shipped_answers_keep_to_the_schema():
    slugs = {c.slug for c in Taxonomy.load().concepts}
    made = examples.load()
    assert len(made) >= 1500
    for example in made:
        items = json.loads(example.answer)
        assert len(items) <= prompt.MAX_INTERESTS
        assert all(i["c"] in slugs and len(i["e"]) <= prompt.MAX_ENTITY for i in items)


def test_the_split_is_the_same_for_the_same_seed_and_loses_nothing():
    made = [examples.Example(str(n), "[]") for n in range(50)]
    training, held = examples.split(made, 0.1, seed=3)
    assert (training, held) == examples.split(made, 0.1, seed=3)
    assert len(held) == 5
    assert sorted(e.text for e in training + held) == sorted(e.text for e in made)


def test_the_gold_set_has_its_suggestions_and_other_texts_are_read_for_theirs(data):
    shipped = suggestions.beside(examples.load())
    slugs = {c.slug for c in Taxonomy.load().concepts}
    assert all({*e.suggestion.likely, *(i.concept for i in e.suggestion.interests)} <= slugs for e in shipped)
    named = [e for e in shipped if e.answer != "[]"]
    firsts = [(e.suggestion.interests[0].concept if e.suggestion.interests else None) for e in named]
    right = [json.loads(e.answer)[0]["c"] == first for e, first in zip(named, firsts, strict=True)]
    assert 0.5 < sum(right) / len(right) < 0.9  # one that has seen them would be right about nearly all
    own = suggestions.beside(examples.load([data]))
    assert own[0].suggestion.interests[0].entity == "周杰伦"


def test_rows_of_which_none_is_left_to_train_on_are_refused():
    with pytest.raises(ValueError, match="too few"):
        examples.split([examples.Example("one", "[]")], 0.1, seed=3)


def test_a_finished_model_is_not_trained_over(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "penchant.json").write_text("{}")
    with pytest.raises(ValueError, match="finished model"):
        train(TrainingConfig(base=tmp_path, out=tmp_path, resume=True))


def test_typos_leave_entities_whole():
    example = examples.Example("我真的很喜欢刘慈欣写的科幻小说啊", '[{"e":"刘慈欣","c":"fiction","s":"like"}]')
    made = [examples.with_typos(example, 1.0, random.Random(n)).text for n in range(50)]
    assert all("刘慈欣" in text for text in made)
    assert len(set(made)) > 10


def test_scores():
    slug = {i: c.slug for i, c in Taxonomy.load().by_id.items()}
    right = f'[{{"e":"周杰伦","c":"{slug["338"]}","s":"like"}}]'
    wrong_stance = f'[{{"e":"Dyson","c":"{slug["274"]}","s":"like"}}]'
    metrics = score.score([right, wrong_stance, "[]"], ROWS)
    assert metrics == {"concept": 1.0, "entity": 1.0, "stance": 0.5, "all": 0.5, "chatter": 0.0, "invalid": 0.0}
    assert score.score(["no", "[]", right], ROWS) == {
        **dict.fromkeys(["concept", "entity", "stance", "all"], 0.0),
        "chatter": 1.0,
        "invalid": pytest.approx(1 / 3),
    }


@pytest.mark.parametrize("wrong", [{"dev_share": 0.0}, {"epochs": 0}, {"batch_size": 0}, {"patience": 0}])
def test_a_config_that_cannot_work_is_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="must"):
        TrainingConfig(base=tmp_path, out=tmp_path, **wrong)


@pytest.fixture
def tiny_model(tmp_path):
    """A random model of 20,000 parameters whose tokens are bytes."""
    pytest.importorskip("torch", reason="torch is not installed: pip install 'penchant[train]'")
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: n for n, token in enumerate(["<pad>", "<bos>", "<eos>", *alphabet])}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    folder = tmp_path / "base"
    marks = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **marks).save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_a_whole_run(tiny_model, tmp_path, data, lora_rank):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "out"
    config = TrainingConfig(
        base=tiny_model,
        out=out,
        data=(data,),
        epochs=3,
        batch_size=4,
        learning_rate=1e-2,
        patience=9,
        lora_rank=lora_rank,
    )
    metrics = train(config)
    log = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in log if line["event"] == "step"]
    assert losses[-1] < losses[0]
    assert set(metrics) == {"concept", "entity", "stance", "all", "chatter", "invalid"}
    card = json.loads((out / "penchant.json").read_text())
    assert (card["tag"], card["base"]) == (prompt.tag(), "base")
    assert not (out / "training-state.pt").exists()
    AutoModelForCausalLM.from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    asked = tokenizer.apply_chat_template(prompt.messages("I love jazz"), tokenize=False, add_generation_prompt=True)
    assert asked == "<bos>I love jazz\n"


def test_a_run_that_was_stopped_goes_on(tiny_model, tmp_path, data, monkeypatch):
    from dataclasses import replace

    from inference.training import run

    out = tmp_path / "out"
    config = TrainingConfig(base=tiny_model, out=out, data=(data,), epochs=2, batch_size=4, patience=9)
    keep = run._Run._keep_state

    def keep_and_stop(self):
        keep(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(run._Run, "_keep_state", keep_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    monkeypatch.setattr(run._Run, "_keep_state", keep)
    train(replace(config, resume=True))
    log = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in log if line["event"] == "step"]
    assert steps == list(range(1, len(steps) + 1))
    assert [line["epoch"] for line in log if line["event"] == "epoch"] == [1, 2]
