"""Masking of secrets, in time that grows no faster than the text."""

import time

import pytest

from streamer.observe.redaction import _without_secrets, masked

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"

_HOSTILE = (
    "eyJ",
    "eyJa",
    "eyJ-eyJ.",
    "a-",
    "://a:",
    "://a:b",
    ":",
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "-----END A",
    "/services/T",
    "/services/T1/B",
    "xoxb-",
    "xox",
    "00D000000000000",
    "00D000000000000!",
    "Bearer ",
    "Bearer",
    "password=",
    "token=token=",
    "token:",
    "token: a",
    "token: aa",
    'token\\\\":',
    '"token":"',
    "secret='a",
    "00D000000000000%25",
    "whsec_",
    "AKIA",
)


@pytest.mark.parametrize(
    "said",
    [
        f"it answered {JWT}",
        f"it answered token%3D{JWT}",
        f"x{JWT}x",
        "https://ann:s3cretword@acme.com/",
        "could not log in with password=s3cretword, sorry",
        "?user=ann&token=s3cretword&x=1",
        "Authorization: Bearer s3cretword",
        "-----BEGIN RSA PRIVATE KEY-----\ns3cretword\n-----END RSA PRIVATE KEY-----",
        "https://hooks.slack.com/services/T0001/B0001/s3cretword",
        '{"access_token":"s3cretword","id":1}',
        '{"access_token": "s3cretword", "id": 1}',
        '{"body": "{\\"refresh_token\\": \\"s3cretword of two\\"}"}',
        "{'client_secret': 's3cretword'}",
        "client_secret=s3cretword&grant_type=password",
        "client_secret%3Ds3cretword",
        "password: s3cretword",
        "password: s3cretword for ann",
        "user: ann\npassword: 's3cretword with blanks'\n",
        "X-Api-Key: s3cretword",
        "API-Key=s3cretword",
        "sid=00D000000000001%21s3cretword",
        "next=sid%253D00D000000000001EAA%2521s3cretword",
        "signed with whsec_s3cretword",
    ],
)
def test_secret_is_masked_wherever_it_stands(said: str) -> None:
    """Its surroundings stay readable."""
    shown = masked(said)

    assert "***" in shown
    assert "s3cretword" not in shown
    assert "c2lnbmF0dXJl" not in shown


def test_keys_of_clouds_and_plain_words_are_masked() -> None:
    """A password can be a word, where it stands alone."""
    assert masked("key AKIAIOSFODNN7EXAMPLE of AWS") == "key *** of AWS"
    assert masked("password: hunter") == "password: ***"
    assert masked("password: hunter\nuser: ann") == "password: ***\nuser: ann"
    assert masked('{"token":"hunter","user":"ann"}') == '{"token":"***","user":"ann"}'


@pytest.mark.parametrize(
    "said",
    [
        "no token: the token endpoint refused the client: check auth.client_id and auth.scope",
        "this needs a password: set it, and start again",
        "key_password: null",
        '{"token": null, "token_type": "Bearer", "tokens": 5}',
        "token_file: /run/secrets/streamer/token",
        "the secret is not shown",
    ],
)
def test_sentences_keep_their_words(said: str) -> None:
    """Operators can read text without secrets."""
    assert masked(said) == said


def test_long_text_is_cut_before_it_is_searched() -> None:
    """The ends that are shown are masked as in a short text."""
    shown = masked(f"begin {JWT} " + "x" * 500_000 + f" {JWT} end", 4_000)

    assert shown.startswith("begin *** x")
    assert shown.endswith("x *** end")
    assert "characters left out" in shown
    assert len(shown) < 4_200


@pytest.mark.parametrize("piece", _HOSTILE)
def test_hostile_text_costs_no_more_than_its_length(piece: str) -> None:
    """Four times the text may take eight times as long, and not sixteen times."""
    for _ in range(10):
        short, long = _seconds(piece, 30_000), _seconds(piece, 120_000)
        if long < 8 * short + 0.001:
            return
    pytest.fail(f"{long / short:.0f} times as long for four times the text")


def _seconds(piece: str, length: int) -> float:
    text = piece * (length // len(piece))
    best = 10.0
    for _ in range(3):
        began = time.thread_time()
        _without_secrets(text)
        best = min(best, time.thread_time() - began)
    return best
