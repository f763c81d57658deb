// Starts the independent GitHub in small (npm `emulate`) with one repository, a branch and a pull request; prints where it is
// and the key of its App as one line of JSON; ends with its stdin.
const [judges] = process.argv.slice(2);
const { createEmulator } = await import(`${judges}/node_modules/emulate/dist/api.js`);
const permissions = { issues: 'write', pull_requests: 'write', checks: 'write', contents: 'write', metadata: 'read' };
const emulator = await createEmulator({
  service: 'github',
  port: Number(process.argv[3]),
  seed: {
    github: {
      users: [{ login: 'ann', name: 'Ann', email: 'ann@example.org' }],
      repos: [{ owner: 'ann', name: 'churn', auto_init: true }],
      apps: [{ app_id: 4711, slug: 'soop-app', name: 'soop', permissions,
        installations: [{ installation_id: 1, account: 'ann', repository_selection: 'all' }] }],
    },
    tokens: { 'token-of-ann': { login: 'ann', scopes: ['repo'] } },
  },
});
const ask = async (method, path, body) => {
  const headers = { authorization: 'Bearer token-of-ann', 'content-type': 'application/json' };
  const answer = await fetch(emulator.url + path, { method, headers, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
};
const repo = '/repos/ann/churn';
const main = await ask('GET', `${repo}/git/ref/heads/main`);
await ask('POST', `${repo}/git/refs`, { ref: 'refs/heads/topic', sha: main.object.sha });
await ask('PUT', `${repo}/contents/notes.txt`, { message: 'notes', content: btoa('notes\n'), branch: 'topic' });
await ask('POST', `${repo}/pulls`, { title: 'a change', head: 'topic', base: 'main' });
const key = emulator.generatedSecrets.find((secret) => secret.kind === 'github.app_private_key').value;
console.log(JSON.stringify({ url: emulator.url, key }));
process.stdin.resume();
process.stdin.on('end', async () => { await emulator.close(); process.exit(0); });
