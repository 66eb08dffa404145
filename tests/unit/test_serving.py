"""The commands that start vLLM."""

import json
import shlex

import pytest

from inference import prompt, serving


@pytest.fixture
def tuned(tmp_path):
    (tmp_path / "penchant.json").write_text(json.dumps({"tag": prompt.tag()}))
    return str(tmp_path)


def option(command, name):
    return command[command.index(name) + 1]


def test_a_tuned_model_is_served_with_its_tag(tuned):
    command = serving.cpu(tuned).command
    at = command.index("--served-model-name")
    assert command[at + 1 : at + 3] == ("penchant", f"penchant@{prompt.tag()}")
    assert "disable_any_whitespace" not in option(command, "--structured-outputs-config")


def test_a_plain_model_may_not_fill_its_answer_with_white_space():
    command = serving.gpu().command
    assert json.loads(option(command, "--structured-outputs-config"))["disable_any_whitespace"] is True
    assert command[2] == serving.PLAIN_MODEL


def test_a_card_without_a_tag_is_refused(tmp_path):
    (tmp_path / "penchant.json").write_text("{}")
    with pytest.raises(ValueError, match="train the model again"):
        serving.served_names(str(tmp_path), "penchant")


def test_the_printed_line_is_one_that_a_shell_reads(tuned, capsys):
    serving.main([tuned, "--cpu", "--host", "0.0.0.0", "--port", "8123"])  # noqa: S104 - only printed
    words = shlex.split(capsys.readouterr().out)
    assert "VLLM_CPU_KVCACHE_SPACE=1" in words
    assert (option(words, "--host"), option(words, "--port")) == ("0.0.0.0", "8123")  # noqa: S104
    assert tuned in words
