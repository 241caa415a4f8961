// Sends with @segment/analytics-node: node segment.cjs MODULES URL KEY WHO VIEWS
const [modules, host, writeKey, who, views] = process.argv.slice(2)
const { Analytics } = require(`${modules}/@segment/analytics-node`)
const analytics = new Analytics({ writeKey, host, flushAt: 1, flushInterval: 50 })
const errors = []
analytics.on('error', (error) => errors.push(String(error.reason ?? error.code ?? error)))
const browser = `${who}-browser`
analytics.identify({ userId: who, anonymousId: browser, traits: { plan: 'gold' } })
for (let number = 0; number < Number(views); number++)
  analytics.track({
    anonymousId: browser, event: 'Product Viewed', properties: { product_id: `chair-${number % 4}`, price: 10 },
  })
analytics.page({ anonymousId: browser, name: 'Home', properties: { url: 'https://shop.example/' } })
analytics.screen({ anonymousId: browser, name: 'Home' })
analytics.group({ userId: who, groupId: 'g1', traits: { name: 'Friends' } })
analytics.alias({ userId: who, previousId: `${who}-before` })
analytics.closeAndFlush({ timeout: 60000 }).then(() => {
  console.log(JSON.stringify({ errors }))
  process.exit(0)
})
