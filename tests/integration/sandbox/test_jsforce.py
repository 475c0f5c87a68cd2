"""An independent client, jsforce, works unchanged against the sandbox, over TLS as with Salesforce."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.clock import TurnedClock
from streamer.sandbox import Sandbox
from streamer.sandbox.certificates import Certificates, certificates
from streamer.sandbox.server import SandboxSettings
from tests.waiting import LIMIT_S
from tools.npm import installed

PACKAGE = "jsforce@3.10.16"

START = """
const jsforce = require('jsforce');
const {SANDBOX, TOKEN} = process.env;
const connection = new jsforce.Connection({instanceUrl: SANDBOX, accessToken: TOKEN, version: '66.0'});
"""
QUERIES = """
(async () => {
  const accounts = connection.sobject('Account');
  const found = await accounts
    .find({CreatedDate: {$gte: jsforce.SfDate.YESTERDAY}, Name: {$like: '%m%'}}, 'Id, Name, AnnualRevenue')
    .include('Contacts').select('LastName').orderby('LastName', 'DESC').end()
    .sort({Name: 1}).limit(5).skip(0).execute();
  const grouped = await connection.query(
    'SELECT Industry, COUNT(Id) n, SUM(AnnualRevenue) FROM Account GROUP BY Industry ORDER BY Industry');
  const without = await connection.query(
    'SELECT Name FROM Account WHERE Id NOT IN (SELECT AccountId FROM Contact) ORDER BY Name NULLS LAST');
  const refused = await connection.query('SELECT Nope FROM Account').catch(error => error.errorCode);
  console.log(JSON.stringify({
    found: found.map(each => [each.Name, each.AnnualRevenue, each.Contacts && each.Contacts.records
      .map(contact => contact.LastName)]),
    counted: await accounts.count({Name: 'Acme'}),
    grouped: grouped.records.map(({Industry, n, expr0}) => [Industry, n, expr0]),
    without: without.records.map(each => each.Name),
    refused,
  }));
})();
"""


@pytest.fixture
def authority(tmp_path: Path) -> Certificates:
    """The authority that signs the sandbox's certificate."""
    return certificates(tmp_path, ())


@pytest.fixture
async def sandbox(clock: TurnedClock, authority: Certificates) -> AsyncIterator[Sandbox]:
    """An empty org that listens, over https."""
    async with Sandbox(clock, settings=SandboxSettings(tls=authority.context())) as running:
        yield running


async def run(script: str, sandbox: Sandbox, authority: Certificates, *, token: str = "") -> Any:
    """Run a script with jsforce, which trusts `authority`, and return the JSON that it prints."""
    modules = await asyncio.to_thread(installed, PACKAGE)
    found = {
        **os.environ,
        "NODE_PATH": str(modules),
        "NODE_EXTRA_CA_CERTS": str(authority.authority),
        "SANDBOX": sandbox.url,
        "TOKEN": token,
    }
    done = await asyncio.to_thread(
        subprocess.run,
        ["node", "-e", START + script],
        env=found,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return orjson.loads(done.stdout)


async def test_its_queries_are_answered(sandbox: Sandbox, authority: Certificates) -> None:
    """Those that its query builder makes, with children, and those that are written out."""
    with sandbox.org.transaction() as transaction:
        acme = transaction.create("Account", {"Name": "Acme", "AnnualRevenue": 5, "Industry": "Energy"})
        transaction.create("Account", {"Name": "Bolt", "Industry": "Energy"})
        transaction.create("Account", {"Name": "Camel"})
        for name in ("Aas", "Berg"):
            transaction.create("Contact", {"LastName": name, "AccountId": acme})
    token = sandbox.tokens.issue(user_id=sandbox.org.settings.user_id, client_id="sandbox")
    assert await run(QUERIES, sandbox, authority, token=token) == {
        "found": [["Acme", 5, ["Berg", "Aas"]], ["Camel", None, None]],
        "counted": 1,
        "grouped": [[None, 1, None], ["Energy", 2, 5]],
        "without": ["Bolt", "Camel"],
        "refused": "INVALID_FIELD",
    }


LOGIN = """
const oauth2 = new jsforce.OAuth2({
  loginUrl: SANDBOX, clientId: 'sandbox', clientSecret: 'sandbox-secret',
  redirectUri: 'http://localhost:1717/OauthRedirect', useVerifier: true,
});
(async () => {
  const page = await fetch(oauth2.getAuthorizationUrl({scope: 'api refresh_token', state: 'mine'}));
  const text = await page.text();
  const [, ticket] = text.match(/name="ticket" value="([^"]+)"/);
  const [, user] = text.match(/name="user" value="([^"]+)"/);
  const answer = await fetch(SANDBOX + '/services/oauth2/authorize',
    {method: 'POST', body: new URLSearchParams({ticket, user}), redirect: 'manual'});
  const back = new URL(answer.headers.get('location'));
  const connection = new jsforce.Connection({oauth2, version: '66.0'});
  const about = await connection.authorize(back.searchParams.get('code'));
  connection.accessToken = 'expired';
  const {totalSize} = await connection.query('SELECT COUNT() FROM User');
  console.log(JSON.stringify({state: back.searchParams.get('state'), user: about.id, totalSize}));
})();
"""


async def test_it_logs_in_with_a_code(sandbox: Sandbox, authority: Certificates) -> None:
    """With PKCE; the refresh token renews its session by itself."""
    assert await run(LOGIN, sandbox, authority) == {
        "state": "mine",
        "user": sandbox.org.settings.user_id,
        "totalSize": 1,
    }


TOOLING = """
(async () => {
  const channels = connection.tooling.sobject('PlatformEventChannel');
  const members = connection.tooling.sobject('PlatformEventChannelMember');
  await channels.create({FullName: 'Erp__chn', Metadata: {channelType: 'data', label: 'ERP'}});
  const metadata = {eventChannel: 'Erp__chn', selectedEntity: 'AccountChangeEvent'};
  const {id} = await members.create({FullName: 'Erp_chn_AccountChangeEvent', Metadata: metadata});
  const enriched = {...metadata, enrichedFields: [{name: 'Name'}]};
  const changed = await members.update(
    {Id: id, FullName: 'Erp_chn_AccountChangeEvent', Metadata: enriched});
  const {Metadata} = await members.retrieve(id);
  const [channel] = await channels.find({DeveloperName: 'Erp'}, 'Id, DeveloperName').execute();
  const fields = await connection.tooling.query('SELECT ChannelMemberId, Field FROM EnrichedField');
  await channels.destroy(channel.Id);
  const left = await connection.tooling.query('SELECT COUNT() FROM PlatformEventChannelMember ' +
    "WHERE EventChannel != 'ChangeEvents'");
  console.log(JSON.stringify({
    changed: changed.success, enriched: Metadata.enrichedFields, name: channel.DeveloperName,
    fields: fields.records.map(each => [each.ChannelMemberId === id, each.Field]), left: left.totalSize,
  }));
})();
"""


async def test_it_manages_channels_by_the_tooling_api(sandbox: Sandbox, authority: Certificates) -> None:
    """A channel with a member, which its enriched field and its deletion reach."""
    token = sandbox.tokens.issue(user_id=sandbox.org.settings.user_id, client_id="sandbox")
    assert await run(TOOLING, sandbox, authority, token=token) == {
        "changed": True,
        "enriched": [{"name": "Name"}],
        "name": "Erp",
        "fields": [[True, "Name"]],
        "left": 0,
    }


STREAMING = """
require('jsforce/api/streaming');
(async () => {
  await connection.sobject('PushTopic').create({Name: 'Accounts', ApiVersion: 66.0,
    Query: 'SELECT Id, Name FROM Account', NotifyForFields: 'Referenced', NotifyForOperationCreate: true});
  await connection.sobject('StreamingChannel').create({Name: '/u/Demo'});
  const heard = {};
  const both = new Promise(resolve => {
    const hear = kind => message => { heard[kind] = message; heard.topic && heard.generic && resolve(); };
    const subscribed = [connection.streaming.topic('/topic/Accounts').subscribe(hear('topic')),
      connection.streaming.channel('/u/Demo').subscribe(hear('generic'))];
    Promise.all(subscribed).then(async () => {
      await connection.sobject('Account').create({Name: 'Acme'});
      await connection.streaming.channel('/u/Demo').push({payload: 'any string', userIds: []});
    });
  });
  await both;
  console.log(JSON.stringify(heard));
  process.exit();
})();
"""


async def test_it_hears_a_push_topic_and_a_generic_channel(sandbox: Sandbox, authority: Certificates) -> None:
    """Which it creates, and pushes to, itself."""
    token = sandbox.tokens.issue(user_id=sandbox.org.settings.user_id, client_id="sandbox")
    heard = await run(STREAMING, sandbox, authority, token=token)
    assert heard["topic"]["sobject"]["Name"] == "Acme"
    assert heard["topic"]["event"]["type"] == "created"
    assert heard["generic"]["payload"] == "any string"


IN_VOLUME = """
(async () => {
  connection.bulk2.pollInterval = 50;
  const rows = async (soql, options) => (await connection.bulk2.query(soql, options)).toArray();
  const all = await rows('SELECT Name, Account.Name, CreatedDate FROM Contact ORDER BY LastName');
  const deleted = await rows('SELECT Name FROM Contact', {scanAll: true});
  const refused = await rows('SELECT COUNT() FROM Contact').catch(error => error.name);
  const span = ['2025-01-01T00:00:00Z', '2025-01-01T01:00:00Z'];
  const updated = await connection.sobject('Contact').updated(...span);
  console.log(JSON.stringify({all, deleted: deleted.length, refused, updated: updated.ids.length}));
})();
"""


async def test_it_reads_in_volume(sandbox: Sandbox, authority: Certificates, clock: TurnedClock) -> None:
    """Its `bulk2` reads the results of a job, but never more than one page, from any server."""
    with sandbox.org.transaction() as transaction:
        acme = transaction.create("Account", {"Name": "Acme"})
        for name in ("Aas", "Berg", "Carlsen"):
            transaction.create("Contact", {"LastName": name, "AccountId": acme})
        transaction.delete("Contact", transaction.create("Contact", {"LastName": "Gone"}))
    await clock.turn(3600)
    token = sandbox.tokens.issue(user_id=sandbox.org.settings.user_id, client_id="sandbox")
    found = await run(IN_VOLUME, sandbox, authority, token=token)
    created = "2025-01-01T00:00:00.000Z"
    assert found == {
        "all": [
            {"Name": name, "Account.Name": "Acme", "CreatedDate": created}
            for name in ("Aas", "Berg", "Carlsen")
        ],
        "deleted": 4,
        "refused": "API_ERROR",
        "updated": 3,
    }


WRITING = """
(async () => {
  connection.bulk2.pollInterval = 50;
  const load = (operation, input, more) =>
    connection.bulk2.loadAndWaitForResults({object: 'Account', operation, input, ...more});
  const inserted = await load('insert', [{Name: 'Acme', Key__c: 'K1'}, {Phone: '1'}]);
  const upserted = await load('upsert', 'Key__c,Name\\nK1,Globex\\n', {externalIdFieldName: 'Key__c'});
  const [record] = upserted.successfulResults;
  const deleted = await load('hardDelete', [{Id: record.sf__Id}]);
  const refused = await load('insert', [{Nope: '1'}]).catch(error => error.message);
  console.log(JSON.stringify({
    inserted: inserted.successfulResults.map(each => [each.sf__Created, each.Name]),
    failed: inserted.failedResults.map(each => each.sf__Error.split(':')[0]),
    upserted: [record.sf__Created, record.Name],
    deleted: deleted.successfulResults.length,
    left: deleted.unprocessedRecords.length,
    refused,
  }));
})();
"""


async def test_it_writes_in_volume(sandbox: Sandbox, authority: Certificates) -> None:
    """Its `bulk2` runs ingest jobs of every kind, and reads their three results."""
    token = sandbox.tokens.issue(user_id=sandbox.org.settings.user_id, client_id="sandbox")
    found = await run(WRITING, sandbox, authority, token=token)
    assert "Field name not found : Nope" in found.pop("refused")
    assert found == {
        "inserted": [["true", "Acme"]],
        "failed": ["REQUIRED_FIELD_MISSING"],
        "upserted": ["false", "Globex"],
        "deleted": 1,
        "left": 0,
    }
