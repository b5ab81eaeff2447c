"""What each paper's unit computes, looked at from outside: shortcuts, gates, slices, padding and pools."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reactnet.models import birealnet, bnext, bnn, create_model, meliusnet, mobilenet, quicknet, real_to_binary, xnornet
from reactnet.models.layout import pooled_shortcut, stages
from reactnet.nn import BinaryConv2d, set_binarize


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def _off(*norms):
    with torch.no_grad():
        for norm in norms:
            norm.weight.zero_()
            norm.bias.zero_()


def test_stages_halve_and_double_at_the_start_of_each_but_the_first():
    made = []

    def unit(in_channels, out_channels, stride):
        made.append((in_channels, out_channels, stride))
        return nn.Identity()

    plan = stages(unit, (2, 1, 3), 8)

    assert [len(stage) for stage in plan] == [2, 1, 3]
    assert made == [(8, 8, 1), (8, 8, 1), (8, 16, 2), (16, 32, 2), (32, 32, 1), (32, 32, 1)]


@pytest.mark.parametrize(("before", "after", "stride", "size"), [(4, 8, 2, 3), (4, 8, 1, 5), (4, 4, 2, 3)])
def test_pooled_shortcut_agrees_with_a_padded_3x3_on_odd_maps(before, after, stride, size):
    x = torch.randn(2, before, 5, 5)

    assert pooled_shortcut(before, after, stride)(x).shape == (2, after, size, size)
    assert F.conv2d(x, torch.randn(after, before, 3, 3), stride=stride, padding=1).shape == (2, after, size, size)
    assert torch.equal(pooled_shortcut(4, 4, 1)(x), x)


def test_bireal_unit_adds_its_input_after_the_batch_norm():
    unit = birealnet.Unit(3, 3)
    x = torch.randn(2, 3, 5, 5)
    _off(unit.norm)

    assert torch.equal(unit(x), x)


def test_bireal_bottleneck_hands_its_narrow_stream_to_the_next():
    block = birealnet.Bottleneck(8, 8).eval()
    x, narrow = torch.randn(1, 8, 5, 5), torch.randn(1, 2, 5, 5)
    _off(block.reduce.norm, block.spatial.norm, block.expand.norm)

    out_narrow, out = block(x, narrow)

    assert torch.equal(out_narrow, narrow)
    assert torch.equal(out, x)
    assert torch.equal(block(x)[0], torch.zeros_like(narrow))


def test_bireal_152_is_binary_but_for_stem_shortcuts_and_head():
    with torch.device("meta"):
        model = create_model("birealnet152")
    real = [module for module in model.modules() if isinstance(module, nn.Conv2d)]

    assert [conv.kernel_size for conv in real] == [(7, 7)] + [(1, 1)] * 4
    assert sum(isinstance(module, BinaryConv2d) for module in model.modules()) == 150


def test_xnor_layer_normalises_before_its_sign():
    layer = xnornet.Layer(3, 4)
    x = torch.randn(2, 3, 5, 5)
    scale = layer.conv.weight.abs().mean(dim=(1, 2, 3)).view(1, -1, 1, 1)
    signs = torch.where(layer.norm(x) >= 0, 1.0, -1.0)

    out = layer(x)

    torch.testing.assert_close(out, F.conv2d(signs, torch.where(layer.conv.weight >= 0, 1.0, -1.0), padding=1) * scale)


def test_bnn_stream_stays_in_one_and_has_no_scale():
    block = bnn.Block(4, 8, stride=2)

    out = block(10 * torch.randn(2, 4, 7, 7))

    assert out.shape == (2, 8, 4, 4)
    assert out.abs().max() == 1
    sums = block.first(torch.randn(2, 4, 7, 7))
    assert torch.equal(sums, sums.round())


def test_real_to_binary_gate_scales_each_image_by_its_own_numbers():
    unit = real_to_binary.Unit(8, 8).eval()
    with torch.no_grad():
        unit.act.weight.fill_(1)
    x = torch.randn(2, 8, 5, 5)
    normed = unit.norm(x)

    gate = unit.gate(normed)

    assert ((gate > 0) & (gate < 1)).all()
    assert not torch.allclose(gate[0], gate[1])
    torch.testing.assert_close(unit(x), unit.conv(unit.sign(normed)) * gate + x)


def test_melius_block_appends_64_channels_and_improves_those_alone():
    block = meliusnet.Block(3, 64)
    x = torch.randn(2, 3, 5, 5)

    out = block(x)

    assert torch.equal(out[:, :3], x)
    wide = torch.cat([x, block.dense(x)], dim=1)
    assert torch.equal(out[:, 3:], wide[:, 3:] + block.improvement(wide))


def test_melius_channels_follow_the_paper():
    with torch.device("meta"):
        model = create_model("meliusnet29")
    reduced = [(conv.in_channels, conv.out_channels) for conv in model.stages.modules() if isinstance(conv, nn.Conv2d)]

    assert reduced == [(320, 128), (512, 192), (704, 256)]
    assert [conv.groups for conv in model.stem if isinstance(conv, nn.Conv2d)] == [1, 4, 8]
    assert model.head.in_features == 640


def test_quicknet_pads_with_plus_one():
    unit = quicknet.Unit(2)
    x = torch.randn(1, 2, 4, 4)
    signs = F.pad(torch.where(x >= 0, 1.0, -1.0), (1, 1, 1, 1), value=1.0)

    sums = F.conv2d(signs, torch.where(unit.conv.weight >= 0, 1.0, -1.0))

    torch.testing.assert_close(unit(x), unit.norm(sums.relu()) + x)


def test_quicknet_blur_is_fixed_and_keeps_a_constant():
    blur = quicknet._blur(3)
    x = torch.full((1, 3, 7, 7), 5.0)

    out = blur(x)

    assert torch.equal(out[:, :, 1:-1, 1:-1], x[:, :, :2, :2])
    assert not any(parameter.requires_grad for parameter in blur.parameters())
    assert torch.equal(blur.weight[0, 0], blur.weight[2, 0].T)


def test_bnext_gate_is_that_of_the_blended_maps():
    """The published code blends whole maps and averages; here averages are blended."""
    gate = bnext.Gate(16)
    with torch.no_grad():
        gate.blend.ratio.uniform_(0, 1)
    x, out = torch.randn(2, 16, 6, 6), torch.randn(2, 16, 6, 6)
    ratio = gate.blend.ratio.view(1, -1, 1, 1)

    published = gate.layers((ratio * x + (1 - ratio) * out).mean(dim=(2, 3), keepdim=True))

    torch.testing.assert_close(gate(x, out), published)


@pytest.mark.parametrize("attention", [False, True])
def test_bnext_unit_adds_its_shortcut_last(attention):
    unit = bnext.Unit(8, 3, 2, attention=attention)
    x = torch.randn(2, 8, 5, 5)
    _off(unit.norm_gated)

    bent = F.prelu(x, unit.shortcut.weight) if attention else x

    assert torch.equal(unit(x), F.avg_pool2d(bent, 2, ceil_mode=True))


def test_bnext_attention_stands_in_every_other_block():
    with torch.device("meta"):
        model = create_model("bnext_t")
    blocks = [block for block in model.stages if isinstance(block, bnext.Block)]

    assert [block.spatial.attention for block in blocks] == [False, True] * 6 + [False]
    assert [len(block.pointwise) for block in blocks] == [2, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]


def test_mobilenet_half_width_halves_every_layer():
    with torch.device("meta"):
        full, half = create_model("mobilenet_v1"), create_model("mobilenet_v1_050")
    widths = [[conv.out_channels for conv in model.modules() if isinstance(conv, nn.Conv2d)] for model in (full, half)]

    assert widths[0] == [2 * width for width in widths[1]]
    assert mobilenet.WIDTHS[-1] == full.head.in_features


def test_vgg_pool_does_nothing_at_its_own_size():
    with torch.device("meta"):
        model = create_model("vgg11_bn")
        assert model.features(torch.zeros(1, 3, 224, 224)).shape == (1, 512, 7, 7)
    x = torch.randn(2, 4, 7, 7)
    assert torch.equal(nn.AdaptiveAvgPool2d(7)(x), x)


def test_vgg_small_pools_after_the_second_fourth_and_sixth_convolution():
    with torch.device("meta"):
        model = create_model("vgg_small_cifar")
    kinds = [type(layer) for layer in model.features if isinstance(layer, nn.Conv2d | BinaryConv2d | nn.MaxPool2d)]

    pair = [BinaryConv2d, nn.MaxPool2d]
    assert kinds == [nn.Conv2d, *pair, BinaryConv2d, *pair, BinaryConv2d, *pair]
    assert model.pool.output_size == 4
    assert model.features(torch.zeros(1, 3, 32, 32, device="meta")).shape == (1, 512, 4, 4)


def test_real_models_ignore_the_phase():
    model = create_model("resnet20_cifar").eval()
    x = torch.randn(1, 3, 8, 8)
    before = model(x)

    set_binarize(model, ())

    assert torch.equal(model(x), before)
