import torch

from genmint.data.views import mulaw


def all_samples():
    return torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16)


def test_silence_comes_back_as_silence():
    silence = torch.zeros(5, dtype=torch.int16)
    assert mulaw.encode(silence).tolist() == [128] * 5
    assert mulaw.decode(mulaw.encode(silence)).tolist() == [0] * 5


def test_every_sample_comes_back_within_its_step():
    x = all_samples()
    back = mulaw.decode(mulaw.encode(x)).to(torch.float64)
    # A step of the curve is ln(1 + μ)/127 of (|x| + 1/μ): half of it is the largest error.
    step = torch.log(torch.tensor(256.0)) / 127
    allowed = (x.to(torch.float64).abs() + 32768 / 255) * step * 0.52 + 1
    assert ((back - x).abs() <= allowed).all()


def test_the_curve_rises_and_uses_its_levels():
    symbols = mulaw.encode(all_samples())
    assert (symbols.diff() >= 0).all()
    assert len(symbols.unique()) == 255
    assert int(symbols.min()) == 1
    assert int(symbols.max()) == 255


def test_a_symbol_comes_back_as_itself():
    symbols = torch.arange(1, 256)
    assert torch.equal(mulaw.encode(mulaw.decode(symbols)), symbols)


def test_known_value_of_the_curve():
    # F(0.5) = ln(1 + 255·0.5)/ln(256) = 0.8756; ·127 rounds to 111.
    assert mulaw.encode(torch.tensor([16384], dtype=torch.int16)).tolist() == [128 + 111]
