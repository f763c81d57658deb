// Judge: Microsoft's own Graph client at its own addresses, whose last link leads to the fake. Its stock handler gives the
// token to graph.microsoft.com and to no upload URL.
const path = require('path');
const crypto = require('crypto');
const { createRequire } = require('module');
const graph = createRequire(path.join(process.argv[3], 'x.js'))('@microsoft/microsoft-graph-client');
const { Client, AuthenticationHandler, LargeFileUploadTask, OneDriveLargeFileUploadTask, FileUpload, GraphError } = graph;

const base = process.argv[2];
const claim = (true_, what) => {
    if (!true_) throw new Error(`not so: ${what}`);
};
const control = async (name, asked) => {
    const options = asked ? { method: 'POST', body: JSON.stringify(asked) } : {};
    return (await fetch(`${base}/_fake/${name}`, options)).json();
};
const refused = async (call, status, code) => {
    try {
        await call();
    } catch (error) {
        claim(error instanceof GraphError && error.statusCode === status && error.code === code,
            `${status} ${code}, not ${error.statusCode} ${error.code} ${error.message}`);
        return;
    }
    throw new Error(`a call that had to fail with ${code} did not`);
};

class Led {
    async execute(context) {
        const asked = new URL(typeof context.request === 'string' ? context.request : context.request.url);
        const headers = new Headers(context.options.headers);
        headers.set('x-fake-host', asked.host);
        const at = (url) => `${base}${url.pathname}${url.search}`;
        let answer = await fetch(at(asked), { ...context.options, headers, redirect: 'manual' });
        if (answer.status === 302) {
            const there = new URL(answer.headers.get('location'));
            answer = await fetch(at(there), { headers: { 'x-fake-host': there.host } });
        }
        context.response = answer;
    }
}

const quickXor = (data) => {
    const ring = Buffer.alloc(20);
    for (let index = 0; index < data.length; index++) {
        const at = (index * 11) % 160;
        for (let bit = 0; bit < 8; bit++) {
            if ((data[index] >> bit) & 1) ring[((at + bit) % 160) >> 3] ^= 1 << ((at + bit) % 160 & 7);
        }
    }
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(data.length));
    for (let at = 0; at < 8; at++) ring[12 + at] ^= length[at];
    return ring.toString('base64');
};

const main = async () => {
    const tokens = await control('tokens', { drive: 'onedrive' });
    let access = tokens.access;
    const middleware = new AuthenticationHandler({ getAccessToken: async () => access });
    middleware.setNext(new Led());
    const client = Client.initWithMiddleware({ middleware });

    const drive = await client.api('/me/drive').get();
    claim(drive.quota.remaining > 0, 'quota');
    claim((await client.api('/me/drive/special/approot').get()).folder, 'approot');

    const small = await client.api('/me/drive/root:/Proj/été.txt:/content').put(Buffer.from('small'));
    claim(small.file.hashes.quickXorHash === quickXor(Buffer.from('small')), 'small upload');
    const fail = '@microsoft.graph.conflictBehavior';
    await refused(() => client.api('/me/drive/root:/PROJ/ÉTÉ.txt:/content').query({ [fail]: 'fail' }).put(Buffer.from('other')),
        409, 'nameAlreadyExists');
    await refused(() => client.api('/me/drive/root:/Proj/CON:/content').put(Buffer.from('x')), 400, 'invalidRequest');
    await refused(() => client.api('/me/drive/root:/Proj/none').get(), 404, 'itemNotFound');
    const deep = Array(9).fill('d'.repeat(50)).join('/');
    await refused(() => client.api(`/me/drive/root:/${deep}:/content`).put(Buffer.from('x')), 400, 'pathIsTooLong');
    const folder = await client.api('/me/drive/root/children').post({ name: 'New', folder: {}, [fail]: 'fail' });
    await refused(() => client.api('/me/drive/root/children').post({ name: 'new', folder: {}, [fail]: 'fail' }),
        409, 'nameAlreadyExists');

    const large = crypto.randomBytes(9 * 1024 * 1024 + 7);
    const asked = { item: { [fail]: 'fail', name: 'large' } };
    const begin = () => LargeFileUploadTask.createUploadSession(client, '/me/drive/root:/Proj/large:/createUploadSession', asked);
    const file = () => new FileUpload(new Uint8Array(large), 'large', large.length);
    const task = new LargeFileUploadTask(client, file(), await begin(), { rangeSize: 320 * 1024 * 10 });
    const done = await task.upload();
    claim(done.responseBody.file.hashes.quickXorHash === quickXor(large), 'session');
    await refused(begin, 409, 'nameAlreadyExists');

    // A session that is interrupted, asked, and resumed.
    asked.item[fail] = 'replace';
    const halfway = new LargeFileUploadTask(client, file(), await begin(), { rangeSize: 320 * 1024 * 10 });
    const range = halfway.getNextRange();
    await halfway.uploadSlice(halfway.sliceFile(range), range, large.length);
    const resumed = await halfway.resume();
    claim(resumed.responseBody.size === large.length, 'resume');
    const own = await OneDriveLargeFileUploadTask.createTaskWithFileObject(client, file(),
        { path: '/Proj', fileName: 'third', conflictBehavior: 'replace', rangeSize: 320 * 1024 * 10 });
    claim((await own.upload()).responseBody.size === large.length, "OneDrive's own task");

    await control('page', { drive: 'onedrive', value: 2 });
    let names = [];
    const iterator = new graph.PageIterator(client, await client.api('/me/drive/root:/Proj:/children').get(), (item) => {
        names.push(item.name);
        return true;
    });
    await iterator.iterate();
    claim(names.sort().join() === ['large', 'third', 'été.txt'].sort().join(), `children: ${names}`);

    const stream = await client.api(`/me/drive/items/${done.responseBody.id}/content`).responseType('arraybuffer').get();
    claim(Buffer.compare(Buffer.from(stream), large) === 0, 'download');

    const copy = await client.api(`/me/drive/items/${done.responseBody.id}/copy`).responseType('raw')
        .post({ parentReference: { id: folder.id, driveId: drive.id }, name: 'copied' });
    claim(copy.status === 202, 'copy is asynchronous');
    let state = {};
    const monitor = new URL(copy.headers.get('location'));
    const watch = () => fetch(`${base}${monitor.pathname}`, { headers: { 'x-fake-host': monitor.host } });
    while (state.status !== 'completed') state = await (await watch()).json();
    const copied = await client.api(`/me/drive/items/${state.resourceId}`).get();
    claim(copied.size === large.length && copied.parentReference.id === folder.id, 'copy');
    const renamed = await client.api(`/me/drive/items/${copied.id}`).patch({ name: 'renamed' });
    claim(renamed.name === 'renamed', 'rename');

    await client.api('/me/drive/root:/Proj').delete();
    claim(Object.keys(await control('files/onedrive')).join() === 'New/renamed', 'delete');

    // Microsoft's token endpoint: a new refresh token each time, the old one stays.
    const token = async (fields) => {
        const body = new URLSearchParams({ client_id: 'id', ...fields });
        return (await fetch(`${base}/onedrive/common/oauth2/v2.0/token`, { method: 'POST', body })).json();
    };
    const first = await token({ grant_type: 'refresh_token', refresh_token: tokens.refresh });
    const second = await token({ grant_type: 'refresh_token', refresh_token: tokens.refresh });
    claim(first.refresh_token !== tokens.refresh && second.access_token, 'refresh');
    await control('expire', { drive: 'onedrive' });
    await refused(() => client.api('/me/drive').get(), 401, 'InvalidAuthenticationToken');
    access = (await token({ grant_type: 'refresh_token', refresh_token: first.refresh_token })).access_token;
    await client.api('/me/drive').get();
    console.log('ok');
};

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
