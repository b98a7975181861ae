import pytest

from ringbridge.sip.auto_answer import Family, auto_answer_headers, family_of
from ringbridge.sip.errors import UnsafeHeader
from ringbridge.sip.serializer import serialize


def test_all_headers_of_the_contract_go_out_together() -> None:
    assert auto_answer_headers("demo") == (
        ("Call-Info", "<sip:demo>;answer-after=0"),
        ("Alert-Info", "<http://127.0.0.1>;info=alert-autoanswer;delay=0"),
        ("Answer-Mode", "Auto"),
        ("P-Auto-answer", "normal"),
    )


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("Yealink T46U", ["Call-Info", "Alert-Info"]),
        ("Snom D785", ["Call-Info", "Alert-Info"]),
        ("Grandstream GXP2170", ["Call-Info"]),
        ("Cisco SPA504G", ["Call-Info"]),
        ("Polycom VVX 411", ["Alert-Info"]),
        ("Bria Desktop", ["P-Auto-answer"]),
        ("Some Phone", ["Call-Info", "Alert-Info", "Answer-Mode", "P-Auto-answer"]),
        ("", ["Call-Info", "Alert-Info", "Answer-Mode", "P-Auto-answer"]),
    ],
)
def test_a_known_family_gets_its_own(model: str, names: list[str]) -> None:
    assert [name for name, _ in auto_answer_headers("demo", family_of(model))] == names


def test_polycom_has_a_class_name() -> None:
    assert auto_answer_headers("demo", Family.POLYCOM) == (
        ("Alert-Info", "<http://127.0.0.1>;info=Auto Answer;delay=0"),
    )


@pytest.mark.parametrize("family", [None, *Family])
def test_headers_can_be_sent(family: Family | None) -> None:
    assert serialize("x", auto_answer_headers("demo.example", family), b"").isascii()


def test_domain_is_checked() -> None:
    with pytest.raises(UnsafeHeader):
        auto_answer_headers("demo>\r\nVia: x")
