// live.js - live.html in headless Chromium: node live.js CHROMIUM PAGE ORIGIN QUERY
//
// The page is served from the service's own origin, as EventSource wants it, by answering that one
// request here; the stream is the browser's own. Reads expressions from stdin, a line each, and
// answers each with a line of JSON.
'use strict';
const fs = require('fs');
const readline = require('readline');
const {chromium} = require('playwright-core');

async function main([executablePath, file, origin, query]) {
  const browser = await chromium.launch({executablePath, headless: true});
  try {
    const page = await browser.newPage();
    await page.route(url => url.pathname === '/live.html', route => route.fulfill(
        {contentType: 'text/html', body: fs.readFileSync(file, 'utf8')}));
    await page.goto(`${origin}/live.html?${query}`);
    console.log(JSON.stringify(browser.version()));
    for await (const expression of readline.createInterface({input: process.stdin}))
      console.log(JSON.stringify(await page.evaluate(expression) ?? null));
  } finally {
    await browser.close();
  }
}

main(process.argv.slice(2)).catch(error => {
  console.error(String(error));
  process.exit(1);
});
