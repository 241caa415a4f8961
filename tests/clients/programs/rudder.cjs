// Sends with @rudderstack/rudder-sdk-node: node rudder.cjs MODULES URL KEY WHO VIEWS
const [modules, dataPlaneUrl, writeKey, who, views] = process.argv.slice(2)
const Analytics = require(`${modules}/@rudderstack/rudder-sdk-node`)
const client = new Analytics(writeKey, {
  dataPlaneUrl, flushAt: 1, flushInterval: 50, logLevel: 'silent',
  axiosRetryConfig: { retries: 5, retryDelay: (count) => 200 * count },
})
const errors = []
const browser = `${who}-browser`
const sending = []
const send = (kind, message) =>
  sending.push(new Promise((done) => client[kind](message, (error) => done(error && errors.push(String(error))))))
send('identify', { userId: who, anonymousId: browser, traits: { plan: 'gold' } })
for (let number = 0; number < Number(views); number++)
  send('track', {
    anonymousId: browser, event: 'Product Viewed', properties: { product_id: `chair-${number % 4}`, price: 10 },
  })
send('page', { anonymousId: browser, name: 'Home', properties: { url: 'https://shop.example/' } })
send('screen', { anonymousId: browser, name: 'Home' })
send('group', { userId: who, groupId: 'g1', traits: { name: 'Friends' } })
send('alias', { userId: who, previousId: `${who}-before` })
client.flush().catch((error) => errors.push(String(error)))
Promise.all(sending).then(() => {
  console.log(JSON.stringify({ errors }))
  process.exit(0)
})
