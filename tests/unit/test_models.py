from __future__ import annotations

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.errors import InputError, ProblemError
from attnbench.models import GIVEN, MODELS, LayerGroup, find, from_config, is_config
from attnbench.problem import FIELDS, PHASES, Problem

TYPICAL = {"num_attention_heads": 32, "hidden_size": 4096, "num_hidden_layers": 32}


def config(folder, **facts):
    path = folder / "my-model" / "config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(facts))
    return from_config(path)


def shapes(model, phase="prefill", tp=1):
    return [
        (one.q_heads, one.kv_heads, one.head_dim, one.mask, one.window, one.layers)
        for one in model.layer_groups(phase, tp)
    ]


def test_a_model_gives_fields_of_a_problem():
    assert set(GIVEN) <= set(FIELDS)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("phase", PHASES)
def test_every_named_layout_makes_problems_in_every_phase(name, phase):
    lengths = {
        "decode": {"q_len": 1, "kv_len": 512},
        "prefill": {"q_len": 512},
        "extend": {"q_len": 64, "kv_len": 512},
        "mixed": {"requests": "q64_4q1s512"},
    }[phase]

    problems = [
        Problem(**lengths, dtype="bf16", **group.fields(phase))
        for group in MODELS[name].layer_groups(phase)
    ]

    assert problems
    assert all(problem.phase == phase for problem in problems)


def test_the_layouts_of_the_peers_are_named():
    assert {"gpt-2", "llama-2-7b", "llama-3-8b", "llama-3-70b", "llama-3.1-405b"} <= set(MODELS)
    assert {"mixtral-8x22b", "qwen2.5-7b", "qwen3-30b-a3b", "phi-3-mini"} <= set(MODELS)
    assert {"nemotron-4-15b", "glm-4.7", "falcon-7b", "vit-b", "wan-2.2-a14b"} <= set(MODELS)


def test_what_was_derived_is_one_line():
    assert MODELS["llama-3-8b"].derived == (
        "llama-3-8b: 32 heads, 8 kv_heads, head_dim 128, full attention, 32 layers"
    )
    assert MODELS["gpt-oss-120b"].derived == (
        "gpt-oss-120b: 64 heads, 8 kv_heads, head_dim 64, sink logits, "
        "window 128 in 18 layers, full attention in 18 layers"
    )
    assert MODELS["deepseek-v3"].derived == (
        "deepseek-v3: MLA with 128 heads, 192→128 over 128 kv_heads in prefill and extend, "
        "576→512 over one latent head in decode, full attention, 61 layers"
    )


@pytest.mark.parametrize("phase", ["prefill", "extend"])
def test_mla_is_written_out_where_prompts_are_read(phase):
    (group,) = MODELS["deepseek-v3"].layer_groups(phase)

    assert (group.q_heads, group.kv_heads) == (128, 128)
    assert (group.head_dim, group.v_head_dim, group.latent) == (192, 128, False)


@pytest.mark.parametrize("phase", ["decode", "mixed"])
def test_mla_is_absorbed_where_tokens_are_made(phase):
    (group,) = MODELS["deepseek-v3"].layer_groups(phase)

    assert (group.q_heads, group.kv_heads) == (128, 1)
    assert (group.head_dim, group.v_head_dim, group.latent) == (576, 512, True)
    assert group.scale == pytest.approx(1 / math.sqrt(192))


def test_a_causal_mask_says_nothing_in_decode():
    window, full = MODELS["gpt-oss-20b"].layer_groups("decode")

    assert full.fields("decode")["mask"] == "none"
    assert full.fields("extend")["mask"] == "causal"
    assert window.fields("decode")["mask"] == "window"


def test_heads_are_divided_and_kv_heads_held_by_several():
    assert [shapes(MODELS["llama-3-8b"], tp=tp)[0][:2] for tp in (1, 2, 8, 16, 32)] == [
        (32, 8),
        (16, 4),
        (4, 1),
        (2, 1),
        (1, 1),
    ]


def test_the_latent_head_is_held_by_every_device():
    assert shapes(MODELS["deepseek-v3"], "decode", 8)[0][:3] == (16, 1, 576)
    assert shapes(MODELS["deepseek-v3"], "prefill", 8)[0][:3] == (16, 16, 192)


@pytest.mark.parametrize(
    ("heads", "tp", "said"),
    [
        ((71, 1), 2, "71 q_heads cannot be divided among tp 2 devices"),
        ((48, 6), 4, "6 kv_heads cannot be divided or repeated among tp 4 devices"),
        ((48, 6), 16, "6 kv_heads cannot be divided or repeated among tp 16 devices"),
    ],
)
def test_heads_that_do_not_divide_are_refused(heads, tp, said):
    group = LayerGroup(q_heads=heads[0], kv_heads=heads[1], head_dim=64, layers=1)

    with pytest.raises(ProblemError) as caught:
        group.shard(tp)

    assert caught.value.message == said
    assert caught.value.field == "tp"


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6))
def test_a_shard_has_the_heads_that_it_needs(kv, group, tp):
    heads = 2 ** (kv + group)
    whole = LayerGroup(q_heads=heads, kv_heads=2**kv, head_dim=64, layers=1)
    if 2**tp > heads:
        with pytest.raises(ProblemError):
            whole.shard(2**tp)
        return

    part = whole.shard(2**tp)

    assert part.q_heads * 2**tp == heads
    assert part.kv_heads == max(1, 2 ** (kv - tp))


def test_a_name_that_is_not_known_comes_with_the_nearest(tmp_path):
    with pytest.raises(InputError) as caught:
        find("lama-3-8b", folder=tmp_path)

    assert str(caught.value) == "unknown model 'lama-3-8b'\n  did you mean 'llama-3-8b'?"


def test_a_name_near_no_other_is_reported_where_the_names_are(tmp_path):
    with pytest.raises(InputError, match="attnbench list models shows them"):
        find("zzz", folder=tmp_path)


def test_a_config_is_seen_from_the_folder_and_named_for_its_own(tmp_path):
    config(tmp_path, **TYPICAL)

    assert find("./my-model/config.json", folder=tmp_path).name == "my-model"
    assert find("./my-model", folder=tmp_path).name == "my-model"
    assert is_config("a/b")
    assert is_config("x.json")
    assert not is_config("llama-3.1-8b")


def test_head_dim_is_computed_only_where_the_file_has_none(tmp_path):
    computed = config(tmp_path, **TYPICAL, num_key_value_heads=8, head_dim=None)
    given_dim = config(tmp_path, **TYPICAL, num_key_value_heads=8, head_dim=256)

    assert computed.derived == (
        "my-model: 32 heads, 8 kv_heads, head_dim 128 (hidden_size/heads), "
        "full attention, 32 layers"
    )
    assert shapes(given_dim)[0][2] == 256
    assert "hidden_size/heads" not in given_dim.derived


@pytest.mark.parametrize("missing", [None, 0])
def test_kv_heads_may_be_null_and_are_then_the_heads(tmp_path, missing):
    assert shapes(config(tmp_path, **TYPICAL, num_key_value_heads=missing))[0][1] == 32


@pytest.mark.parametrize(
    "key", ["num_kv_heads", "n_head_kv", "multi_query_group_num", "num_attention_groups"]
)
def test_kv_heads_have_many_names(tmp_path, key):
    assert shapes(config(tmp_path, **TYPICAL, **{key: 4}))[0][1] == 4


def test_falcon_has_one_kv_head_whatever_it_says(tmp_path):
    falcon = {"num_attention_heads": 71, "hidden_size": 4544, "num_hidden_layers": 32}
    falcon |= {"multi_query": True, "num_kv_heads": 71}

    assert shapes(config(tmp_path, **falcon))[0][:3] == (71, 1, 64)


def test_the_keys_of_gpt_2_are_known(tmp_path):
    assert shapes(config(tmp_path, n_head=12, n_embd=768, n_layer=12)) == [
        (12, 12, 64, "causal", None, 12)
    ]


def test_the_text_part_of_a_larger_model_is_read(tmp_path):
    assert shapes(config(tmp_path, text_config=TYPICAL, vision_config={}))[0][0] == 32


def test_a_window_that_is_switched_off_is_none(tmp_path):
    off = config(tmp_path, **TYPICAL, sliding_window=4096, use_sliding_window=False)

    assert shapes(off) == [(32, 32, 128, "causal", None, 32)]


def test_a_window_of_all_layers(tmp_path):
    mistral = config(tmp_path, **TYPICAL, sliding_window=4096)

    assert shapes(mistral) == [(32, 32, 128, "window", 4096, 32)]


def test_a_window_from_a_layer_on(tmp_path):
    facts = {"sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 28}

    assert [one[3:] for one in shapes(config(tmp_path, **TYPICAL, **facts))] == [
        ("window", 4096, 4),
        ("causal", None, 28),
    ]


def test_layers_may_be_listed_one_by_one(tmp_path):
    kinds = ["sliding_attention", "full_attention"] * 12
    facts = {"num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64}
    facts |= {"num_hidden_layers": 24, "sliding_window": 128, "layer_types": kinds}
    model = config(tmp_path, **facts, model_type="gpt_oss", hidden_size=2880)

    assert shapes(model) == [
        (64, 8, 64, "window", 128, 12),
        (64, 8, 64, "causal", None, 12),
    ]
    assert all(group.sink_logits for group in model.groups)


def test_gemma_2_alternates_and_caps_and_scales(tmp_path):
    facts = {"num_attention_heads": 32, "num_key_value_heads": 16, "head_dim": 128}
    facts |= {"num_hidden_layers": 46, "sliding_window": 4096, "model_type": "gemma2"}
    facts |= {"attn_logit_softcapping": 50.0, "query_pre_attn_scalar": 144}
    model = config(tmp_path, **facts)
    known = MODELS["gemma-2-27b"]

    assert shapes(model) == shapes(known)
    assert [one.softcap for one in model.groups] == [50.0, 50.0]
    assert model.groups[0].scale == pytest.approx(known.groups[0].scale)


def test_every_sixth_layer_of_gemma_3_sees_everything(tmp_path):
    facts = {"num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256}
    facts |= {"num_hidden_layers": 26, "sliding_window": 512, "sliding_window_pattern": 6}
    facts |= {"query_pre_attn_scalar": 256, "hidden_size": 640}
    model = config(tmp_path, **facts)

    assert [one[3:] for one in shapes(model)] == [("window", 512, 22), ("causal", None, 4)]
    assert model.groups[0].scale is None


def test_full_layers_may_have_heads_of_their_own(tmp_path):
    facts = {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256}
    facts |= {"global_head_dim": 512, "num_global_key_value_heads": 2, "sliding_window": 1024}
    facts |= {"num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"]}

    assert shapes(config(tmp_path, **facts)) == [
        (16, 8, 256, "window", 1024, 1),
        (16, 2, 512, "causal", None, 1),
    ]


def test_chunked_layers_are_left_out_and_said_so(tmp_path):
    facts = {"num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128}
    facts |= {"num_hidden_layers": 48, "attention_chunk_size": 8192}
    model = config(tmp_path, text_config=facts)

    assert shapes(model) == [(40, 8, 128, "causal", None, 12)]
    assert model.derived.endswith(
        "left out: 36 of 48 layers (chunked attention cannot be expressed as a problem)"
    )


def test_linear_layers_are_left_out_and_said_so(tmp_path):
    kinds = ["linear_attention", "linear_attention", "linear_attention", "full_attention"] * 3
    facts = {**TYPICAL, "num_hidden_layers": 12, "layer_types": kinds}
    listed = config(tmp_path, **facts)
    counted = config(tmp_path, **TYPICAL, full_attention_interval=4)

    assert shapes(listed)[0][5] == 3
    assert "9 of 12 layers (linear attention" in listed.left_out
    assert shapes(counted)[0][5] == 8


def test_a_model_without_one_layer_that_can_be_expressed_is_refused(tmp_path):
    with pytest.raises(InputError, match="no layer can be derived"):
        config(tmp_path, **TYPICAL, layer_types=["mamba"] * 32)


def test_mla_of_a_config_ignores_its_kv_heads(tmp_path):
    facts = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128}
    facts |= {"v_head_dim": 128, "num_attention_heads": 128, "num_key_value_heads": 128}
    model = config(tmp_path, **facts, hidden_size=7168, num_hidden_layers=61)

    assert model.groups == MODELS["deepseek-v3"].groups
    assert model.absorbed == MODELS["deepseek-v3"].absorbed


@pytest.mark.parametrize(
    ("facts", "dtype"),
    [
        ({"torch_dtype": "bfloat16"}, "bf16"),
        ({"dtype": "torch.float16"}, "fp16"),
        ({"torch_dtype": "float4"}, None),
        ({}, None),
    ],
)
def test_the_dtype_is_read_where_it_is_a_plain_one(tmp_path, facts, dtype):
    assert config(tmp_path, **TYPICAL, **facts).dtype == dtype


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "it holds no JSON object"),
        ("{}", "has no num_hidden_layers"),
        ('{"num_hidden_layers": 2}', "has no num_attention_heads"),
        (
            '{"num_hidden_layers": 2, "num_attention_heads": 3, "hidden_size": 4}',
            "hidden_size 4 does not divide by 3",
        ),
        ("\udcff", "it is no text"),
    ],
)
def test_a_file_that_is_no_config_is_refused(tmp_path, text, said):
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(InputError, match=said):
        from_config(path)


def test_a_config_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the model config .* No such file"):
        from_config(tmp_path / "config.json")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_strange_values_never_escape_as_anything_but_an_error(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("configs") / "config.json"
    keys = ("head_dim", "sliding_window", "layer_types", "torch_dtype", "kv_lora_rank")
    path.write_text(json.dumps({**TYPICAL, **dict.fromkeys(keys, value)}))

    with contextlib.suppress(InputError):
        assert from_config(path).derived
