/* The shop's pages: every list is asked of the engine, everything done is told to it. Needs instanter.js. */
'use strict'
const told = JSON.parse(document.getElementById('told').textContent)
const isNews = told.news
const scope = isNews ? 'news:' : 'shop:'
const TIMEOUT_MS = 2000
const DECISIONS_KEPT = 30
const LINES_KEPT = 50

const one = (selector, from = document) => from.querySelector(selector)
const all = (selector, from = document) => [...from.querySelectorAll(selector)]
const make = (tag, fields = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), fields)
  element.append(...children)
  return element
}
const kept = {
  get(name, otherwise) {
    try { return JSON.parse(localStorage.getItem(scope + name)) ?? otherwise } catch { return otherwise }
  },
  set(name, value) {
    try { localStorage.setItem(scope + name, JSON.stringify(value)) } catch { /* a page without storage forgets */ }
  },
  forget() {
    try { Object.keys(localStorage).filter((name) => name.startsWith(scope)).forEach((name) => localStorage.removeItem(name)) } catch { /* likewise */ }
  },
}
const priceWith = (digits) => new Intl.NumberFormat(told.locale, {
  ...(told.currency && { style: 'currency', currency: told.currency, currencyDisplay: 'narrowSymbol' }), maximumFractionDigits: 2, minimumFractionDigits: digits })
const whole = priceWith(0), exact = priceWith(2)
const money = (price) => price == null ? '' : (Number.isInteger(price) ? whole : exact).format(price)
/* Of a category that is a path, the last part. */
const kindOf = (category) => String(category ?? '').split(/[>›»]/).map((part) => part.trim()).filter(Boolean).at(-1) ?? ''
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1)
const picture = (id) => `/picture/${encodeURIComponent(id)}.svg`
const pageOf = (id) => `/${isNews ? 'news' : 'p'}/${encodeURIComponent(id)}`
const known = new Map(told.candidates.map((item) => [item.id, item]))

/* Lists. */
const fieldsOf = (item) => ({ ...known.get(item.id), ...item.fields })
const lineOf = (fields) => isNews
  ? [fields.category, fields.minutes && `${fields.minutes} min`].filter(Boolean).join(' · ')
  : fields.brand || kindOf(fields.category)
/* The first row's pictures come with the words; the others are hung when those are painted, and fetched when they come
   near: each is a document of its own, and two dozen of them at once would hold up the frame that shows the list. */
const ROW = 4
const waiting = []
const hang = () => waiting.splice(0).forEach(([image, source]) => { image.src = source })
const tile = (item, place) => {
  const fields = fieldsOf(item), reason = item.reasons?.[0] ?? ''
  const image = make('img', { decoding: 'async', loading: place < ROW ? 'eager' : 'lazy', width: 400, height: 400, alt: '' })
  if (place < ROW) image.src = picture(item.id)
  else waiting.push([image, picture(item.id)])
  const words = make('span', { className: 'tile-text' },
    make('span', { className: 'tile-title', textContent: fields.title ?? item.id }),
    make('span', { className: 'tile-line', textContent: lineOf(fields) }),
    make('span', { className: 'tile-price', textContent: money(typeof fields.price === 'number' ? fields.price : null) }),
    make('span', { className: 'tile-why', textContent: reason, title: (item.reasons ?? []).join(', ') }))
  const made = make('li', { className: 'tile' }, make('a', { href: pageOf(item.id) }, image, words))
  made.dataset.instanterItem = item.id
  return made
}
const paintHero = (place, items) => {
  const item = items[0]
  if (!item) return
  const fields = fieldsOf(item), link = one('[data-hero-link]', place)
  one('[data-hero-why]', place).textContent = capital(item.reasons?.[0] ?? 'chosen for you')
  one('.hero-title', place).textContent = fields.title ?? item.id
  one('.hero-line', place).textContent = isNews
    ? `${fields.category ?? ''} · ${fields.author ?? ''}`
    : capital([fields.style, fields.material, money(fields.price)].filter(Boolean).join(' · '))
  link.href = pageOf(item.id)
  one('.hero-picture', place).replaceChildren(make('img', { decoding: 'async', src: picture(item.id), width: 640, height: 420, alt: '' }))
  place.dataset.instanterItem = item.id
}
const paintList = (place, items, decisionId) => {
  const before = new Set(all('[data-instanter-item]', place).map((each) => each.dataset.instanterItem))
  const shown = +place.dataset.shown || items.length
  const tiles = items.slice(0, shown).map(tile)
  if (before.size) for (const each of tiles) each.classList.toggle('fresh', !before.has(each.dataset.instanterItem))
  place.replaceChildren(...tiles)
  place.dataset.instanterDecision = decisionId
  place.dataset.instanterList = place.dataset.place
  const more = one('[data-more]')
  if (more && place.dataset.shown > 0) {
    more.hidden = items.length <= shown
    // Drawn when they are asked for: of a room with 200 pieces most are never looked at.
    more.onclick = () => {
      place.append(...items.slice(shown).map((item) => tile(item, ROW)))
      hang()
      more.hidden = true
    }
  }
}
const paint = (place, items, decisionId) => {
  if (place.dataset.shape === 'hero') {
    paintHero(place, items)
    // A list of one: the item stands inside the element that names the list.
    const inner = one('.hero-words', place)
    place.dataset.instanterList = place.dataset.place
    place.dataset.instanterDecision = decisionId
    delete place.dataset.instanterItem
    if (items[0]) inner.dataset.instanterItem = items[0].id
    return
  }
  paintList(place, items, decisionId)
}
const standIn = (place) => {
  const template = one(`template[data-fallback="${CSS.escape(place.dataset.place)}"]`)
  if (!template || place.dataset.instanterDecision) return
  const copy = template.content.cloneNode(true)
  if (place.dataset.shape !== 'hero') return void place.replaceChildren(copy)
  const first = one('.tile', copy)
  if (first) paintHero(place, [{ id: first.dataset.item, fields: { title: one('.tile-title', first).textContent }, reasons: ['from the shop'] }])
}

const places = () => all('[data-place]').filter((place) => !('later' in place.dataset))
const asked = (place) => {
  const question = { id: place.dataset.place, limit: +place.dataset.limit || undefined }
  if (place.dataset.about) question.item = place.dataset.about
  if (question.id === 'search' && told.page === 'Search') question.query = told.query
  if (question.id === 'search' && told.page === 'Category') question.candidates = told.candidates.map((item) => item.id)
  return question
}
const rungs = { personal: 'personal', session: 'this visit', segment: 'your segment', popular: 'popular', default: 'default' }

const notes = { personal: 'chosen for you', session: 'by what you did in this visit', segment: 'what people like you like',
  popular: 'what everybody likes' }

const foundWords = (placed, limit) => {
  const found = placed?.items.length
  if (!found) return ''
  if (placed.reason === 'nothing_matched') return 'What you may like instead'
  if (found === 1) return '1 piece'
  return `${found === limit ? `The first ${found}` : found} pieces, the likeliest for you first`
}

/* One question for all lists of the page: no item stands in two of them. */
let asking = 0
const refresh = async (which = places()) => {
  const number = ++asking
  if (!which.length || !window.instanter) return which.forEach(standIn)
  performance.mark('asked')
  const began = performance.now()
  const answer = await instanter.decide(which.map(asked), { timeoutMs: TIMEOUT_MS, fallback: null })
  if (number !== asking) return undefined
  if (!answer) {
    which.forEach(standIn)
    document.dispatchEvent(new CustomEvent('shop:answered', { detail: null }))
    return undefined
  }
  const answered = performance.now()
  for (const place of which) {
    const placed = answer.placements[place.dataset.place]
    if (place.dataset.shape === 'hero' && !placed?.items.length) standIn(place)
    else paint(place, placed?.items ?? [], answer.decisionId)
    all(`[data-rung="${CSS.escape(place.dataset.place)}"]`).forEach((note) => {
      if (note.dataset.found === undefined) note.textContent = notes[placed?.servedBy] ?? ''
      else note.textContent = foundWords(placed, +place.dataset.limit)
    })
    const empty = one('[data-empty]')
    if (empty) empty.hidden = Boolean(placed?.items.length) && placed?.reason !== 'nothing_matched'
  }
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)))
  performance.mark('painted')
  const measured = performance.measure('decide-to-paint', 'asked', 'painted')
  hang()
  const seen = { answer, paintedMs: measured.duration, answeredMs: answered - began }
  remember(answer)
  shop.latest = seen
  document.body.dataset.painted = measured.duration.toFixed(1)
  document.body.dataset.decision = answer.decisionId
  document.dispatchEvent(new CustomEvent('shop:answered', { detail: seen }))
  return undefined
}
const remember = (answer) => {
  const placed = Object.values(answer.placements)
  const first = placed.find((each) => each.items.length)?.items[0]
  const entry = { id: answer.decisionId, at: Date.now(), page: document.title.split(' · ')[0], rung: placed[0]?.servedBy,
    first: first ? fieldsOf(first).title ?? first.id : '' }
  kept.set('decisions', [entry, ...kept.get('decisions', [])].slice(0, DECISIONS_KEPT))
}

/* The cart lies in this browser. */
const cart = () => kept.get('cart', [])
const count = () => {
  const total = cart().reduce((sum, line) => sum + line.quantity, 0)
  all('[data-cart-count]').forEach((each) => { each.textContent = total })
}
const listed = (lines) => lines.map(({ id, price, quantity }) => ({ product_id: id, price, quantity }))
const put = (item) => {
  const lines = cart(), there = lines.find((line) => line.id === item.id)
  if (there) there.quantity += 1
  else lines.unshift({ id: item.id, title: item.title, price: item.price, quantity: 1 })
  kept.set('cart', lines.slice(0, LINES_KEPT))
  instanter.track('Product Added', { product_id: item.id, price: item.price, quantity: 1 })
  count()
}
const take = (id) => {
  kept.set('cart', cart().filter((line) => line.id !== id))
  instanter.track('Product Removed', { product_id: id, quantity: 1 })
  count()
  drawCart()
  refresh()
}
const drawCart = () => {
  const lines = cart(), total = lines.reduce((sum, line) => sum + (line.price ?? 0) * line.quantity, 0)
  all('[data-cart-total]').forEach((each) => { each.textContent = money(total) })
  const list = one('[data-cart-lines]')
  if (!list) return
  list.replaceChildren(...lines.map((line) => make('li', {},
    make('img', { src: picture(line.id), width: 76, height: 76, alt: '' }),
    make('a', { href: pageOf(line.id), textContent: line.quantity > 1 ? `${line.quantity} × ${line.title}` : line.title }),
    make('b', { textContent: money(line.price) }),
    make('button', { type: 'button', textContent: 'Remove', ariaLabel: `Remove ${line.title}`, onclick: () => take(line.id) }))))
  one('[data-cart-empty]').hidden = lines.length > 0
  one('[data-cart-go]').hidden = lines.length === 0
  one('.cart-total').hidden = lines.length === 0
}

/* What happens on each page, in the words of the tracking specification. */
const arrived = Date.now()
const leave = () => {
  const scrolled = Math.min(100, Math.round(100 * (scrollY + innerHeight) / document.documentElement.scrollHeight))
  const dwell = { dwell_ms: Date.now() - arrived, scroll_pct: scrolled }
  if (told.page === 'Article') instanter.track('Article Read', { article_id: told.item.id, product_id: told.item.id, read_ms: dwell.dwell_ms, scroll_pct: scrolled })
  else instanter.track('Page Left', dwell)
}
const begin = () => {
  const item = told.item
  instanter.page(told.page === 'Then' ? 'Earlier decision' : told.page)
  if (told.page === 'Product') {
    instanter.track('Product Viewed', { product_id: item.id, category: item.category, price: item.price })
    kept.set('last', item.id)
  }
  if (told.page === 'Article') instanter.track('Article Viewed', { product_id: item.id, category: item.category })
  if (told.page === 'Search' && told.query) instanter.track('Products Searched', { query: told.query })
  if (told.page === 'Cart') instanter.track('Cart Viewed', { products: listed(cart()) })
  if (told.page === 'Checkout') instanter.track('Checkout Started', { products: listed(cart()) })
  if (told.page === 'Help') instanter.track('Help Viewed', {})
  addEventListener('pagehide', leave, true)
}
const wire = () => {
  one('[data-add]')?.addEventListener('click', () => {
    put(told.item)
    one('[data-added]').textContent = 'In your cart.'
    refresh()
  })
  one('[data-checkout]')?.addEventListener('submit', async (event) => {
    event.preventDefault()
    const lines = cart()
    if (!lines.length) {
      one('[data-checkout-empty]').textContent = 'There is nothing in the cart to order.'
      return
    }
    const revenue = lines.reduce((sum, line) => sum + (line.price ?? 0) * line.quantity, 0)
    instanter.track('Order Completed', { order_id: `o-${crypto.randomUUID()}`, revenue, currency: 'EUR', products: listed(lines) })
    kept.set('cart', [])
    await instanter.flush()
    location.href = '/thanks'
  })
  all('[data-time]').forEach((each) => { each.textContent = new Date(+each.dataset.time).toLocaleTimeString() })
  const again = one('[data-later]'), last = kept.get('last')
  if (again && last) {
    again.dataset.about = last
    delete again.dataset.later
    one('[data-again]').textContent = 'More like what you looked at last'
  }
  document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh() })
  addEventListener('pageshow', ({ persisted }) => { if (persisted) refresh() })
}

const shop = { told, refresh, kept, one, all, make, money, picture, pageOf, fieldsOf, cart, rungs, latest: null, ready: null }
window.shop = shop
count()
if (window.instanter) begin()
wire()
drawCart()
shop.ready = refresh()
