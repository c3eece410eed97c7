// Node's fetch (undici) and its http.Agent: asks for each file of a list, and compares what comes with its SHA-256.
//
// Arguments: the beginning of each URL, the list, in the form of sha256sum, and `fetch` or `agent`.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';

const [base, list, how] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

async function byFetch(url) {
    const response = await fetch(url, { signal: AbortSignal.timeout(60_000) });
    return [response.status, Buffer.from(await response.arrayBuffer())];
}

function byAgent(url) {
    return new Promise((resolve, reject) => {
        const request = http.get(url, { agent, timeout: 60_000 }, response => {
            const parts = [];
            response.on('data', part => parts.push(part));
            response.on('end', () => resolve([response.statusCode, Buffer.concat(parts)]));
            response.on('error', reject);
        });
        request.on('timeout', () => request.destroy(new Error('no response within a minute')));
        request.on('error', reject);
    });
}

let count = 0;
let failures = 0;
for (const line of readFileSync(list, 'ascii').trim().split('\n')) {
    const [wanted, name] = line.split(/\s+/);
    count += 1;
    try {
        const [status, body] = await { fetch: byFetch, agent: byAgent }[how](`${base}/${name}`);
        if (status !== 200 || createHash('sha256').update(body).digest('hex') !== wanted) {
            throw new Error(`${status}, ${body.length} bytes`);
        }
    } catch (error) {
        failures += 1;
        console.error(`${name}: ${error} ${error.cause ?? ''}`);
    }
}
console.log(`${count} requests, ${failures} failures`);
agent.destroy();
