// What all pages share: who they are, where they send, and how they tell the test what they did.
const settings = Object.fromEntries(new URLSearchParams(location.search))
const views = Number(settings.views ?? 0)
const errors = []
const tell = (said) => fetch('/told', { method: 'POST', body: JSON.stringify({ errors, ...said }) })
const product = (number) => ({ product_id: `chair-${number % 4}`, price: 10 })
const WAVE_MS = 1200
// What is put together in a batch comes in waves, so that there are several.
const inWaves = async (count, send) => {
  for (let number = 0; number < count; number++) {
    if (settings.mode === 'batching' && number % 2 === 0) await new Promise((done) => setTimeout(done, WAVE_MS))
    send(number)
  }
}
const leave = () => { location.href = '/left.html' }
addEventListener('error', (event) => tell({ failed: String(event.message) }))
addEventListener('unhandledrejection', (event) => tell({ failed: String(event.reason) }))
