"""`callpoint doctor` over a bad night: real processes, a real database, real causes."""

import json
from typing import Any

from tests.stories.town import Town
from tests.timestamp_site import Authority, stamping


def told(town: Town, who: str, *more: object, code: int) -> tuple[list[str], dict[str, Any]]:
    """The codes, the worst first, and everything by code."""
    done = town.run(who, "doctor", *more, "-o", "json")
    assert done.returncode == code, done.stdout + done.stderr
    found = json.loads(done.stdout)["symptoms"]
    return [s["code"] for s in found], {s["code"]: s for s in found}


def test_a_bad_night_in_the_words_of_the_doctor(town: Town):
    """Over-privileged broker, a target that refuses while somebody is in, no server at all."""
    town.build()
    authority = Authority(town.root / "tsa")
    authority.found()
    with stamping(authority):
        _a_bad_night(town, authority)


def _a_bad_night(town: Town, authority: Authority) -> None:
    (town.home / "server.toml").write_text(
        f'[timestamps]\nurl = "{authority.url}"\ncertificates = "{authority.root}"\n'
    )
    quiet = ["feed-silent", "reaper-missing"]  # accepted, and no alert ever fired: notices
    broker = f"broker_{town.database.name}"
    with town.serving():
        assert told(town, "erin", code=0)[0] == quiet
        town.execute(f"GRANT pg_read_all_data TO {broker}")
        codes, found = told(town, "erin", code=5)
        assert codes == ["broker-powers", *quiet]
        assert "member of pg_read_all_data" in found["broker-powers"]["text"]
        town.execute(f"REVOKE pg_read_all_data FROM {broker}")
        town.incident()
        living = town.active()
        assert len(town.accounts()) == 1
        town.execute(
            f"ALTER ROLE {broker} NOLOGIN;"
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{broker}'"
        )
        town("alice", "return", living, "--used", code=5)
        codes, found = told(town, "erin", code=5)
        assert codes == ["lease-stuck", "target-refuses", "feed-silent"]
        assert found["lease-stuck"]["activation"] == living
        assert "1 credential is not proven dead" in found["target-refuses"]["text"]
        town.execute(f"ALTER ROLE {broker} LOGIN")
        town.await_no_account()
        assert told(town, "erin", code=0)[0] == quiet
        page = town.root / "incident.html"
        town("erin", "evidence", living, "--file", page)
    trusts = ("--installation", town.installation, "--timestamp-authority", authority.root)
    said = town("bob", "verify", "bundle", page, *trusts)
    assert "CN=tsa.example has seen" in said
    assert "the page says what the machine part says" in said
    checkpoint = town.home / "checkpoint"
    kept = checkpoint.read_bytes()
    checkpoint.write_bytes(kept.replace(b"\n", b"\nx", 1))
    codes, found = told(town, "erin", "--home", town.home, code=7)
    assert codes == ["checkpoint-differs", "server-down"]
    assert f"callpoint serve --home {town.home}" in found["server-down"]["next_step"]
    checkpoint.write_bytes(kept)
    assert told(town, "erin", "--home", town.home, code=6)[0] == ["server-down"]
