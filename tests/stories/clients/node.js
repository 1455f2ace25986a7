// npm's xmlrpc. Arguments: address, token, a gate (see clients.rs). NODE_PATH leads to the package.
const { deepStrictEqual } = require('assert');
const { createHash } = require('crypto');
const { promisify } = require('util');
const xmlrpc = require('xmlrpc');

const [url, token, gate] = process.argv.slice(2);
const client = xmlrpc.createClient({ url, headers: { Authorization: `Bearer ${token}` } });
const call = promisify(client.methodCall.bind(client));
const value = (method, ...params) => call(method, params);
const echo = async (sent) => (await value('word.ECHO', 'vm1', { value: sent }))[0].answer.value;
const yes = (truth) => (truth ? 'True' : 'False');
async function check(name, sent) {
  const came = await echo(sent);
  try {
    deepStrictEqual(came, sent);
    console.log(name, 'same');
  } catch {
    console.log(name, 'not', came);
  }
}

async function main() {
  await check('boolean', [true, false]);
  await check('integer', [-(2 ** 31), 0, 2 ** 31 - 1]);
  // JavaScript has one kind of number: whole ones travel as <int>, 1e100 as <int>1e+100</int>.
  await check('double', [0.5, -1.25, 5e9, 1e100]);
  await check('string', ' <&>"\' ü€\u{1d11e} ]]>\n\ttail ');
  await check('empty', '');
  await check('bytes', Buffer.from(Array.from({ length: 256 }, (_, n) => n)));
  await check('array', [1, 'two', [3.5, []]]);
  await check('struct', { a: 1, 'b c': { '<d>': '' } });
  console.log('time', await echo(new Date(2026, 10, 22, 9, 1, 44)));

  for (const [method, ...params] of [['cmd.run', 'vm9', 'true'], ['cmd.run', 'vm1', 5], ['cmd.fly']]) {
    await value(method, ...params).catch((e) => console.log('fault', e.faultCode, e.faultString.split(':')[0]));
  }

  const methods = await value('system.listMethods');
  console.log('lists', ...['cmd.run', 'word.ECHO', 'system.multicall'].map((name) => yes(methods.includes(name))));
  console.log('signature', ...(await value('system.methodSignature', 'cmd.wait'))[0]);
  console.log('help', (await value('system.methodHelp', 'cmd.wait')).split('(')[0]);

  const script = `cat; printf '\\377' >&2; read x < ${gate}; exit 4`;
  const first = await value('cmd.run', 'vm1', 'sh', ['-c', script], { stdin: Buffer.from('grüße') });
  console.log('state', (await value('cmd.wait', first, 0.1)).state);
  await value('cmd.run', 'vm1', 'sh', ['-c', `echo > ${gate}`]);
  const done = await value('cmd.wait', first, 20);
  console.log('state', done.state, yes(done.finished), done.exitCodeOrSignal, done.out, done.err.toString('hex'));
  console.log('created', yes(done.created instanceof Date && done.created.getFullYear() >= 2026));

  const large = await value('cmd.run', 'vm1', 'sh', ['-c', 'yes 0123456789abcde | head -c 3000000']);
  const digest = createHash('sha256');
  let [out, r] = [0];
  do {
    r = await value('cmd.wait', large, 20, { until: 'output', out_offset: out, max_output: 1e6 });
    digest.update(r.out);
    out = r.out_offset;
  } while (r.more || ['queued', 'running'].includes(r.state));
  console.log('large', out, yes(digest.digest('hex') === r.out_sha256));
}
main();
