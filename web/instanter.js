// Tells an Instanter server what a visitor does and asks it what to show: docs/guides/browsers.md. License: Apache-2.0
(() => {
  const PREFIX = 'instanter:', QUEUE = 'q:'
  // What waits on the device, and what goes at once: of a page that is left browsers send 64 KiB at most.
  const EVENTS_MAX = 1000, BYTES_MAX = 2e6, BATCH_EVENTS = 50, BATCH_BYTES = 5e5, LEAVING_BYTES = 5e4
  const WAIT_MS = 300, SEND_MS_MAX = 15e3, RETRY_S_MAX = 300, SEEN_MS = 500, SEEN_MAX = 5000
  // The server knows the ids of a day: what it may have is not sent again after more than this.
  const REPEAT_MS_MAX = 72e6
  const ITEM = 'data-instanter-item', LIST = 'data-instanter-list', DECISION = 'data-instanter-decision'
  let settings, token

  // The device keeps things; this page does while the visitor has not agreed, and where the device will not.
  const memory = {}
  const disk = (work) => { try { return work(localStorage) } catch { return null } }
  const get = (name) => memory[name] ?? disk((store) => store.getItem(PREFIX + name))
  const drop = (name) => {
    delete memory[name]
    disk((store) => store.removeItem(PREFIX + name))
  }
  const put = (name, text) => {
    memory[name] = String(text)
    if (agreed() !== null && disk((store) => !store.setItem(PREFIX + name, text))) delete memory[name]
  }
  const settle = () => Object.keys(memory).forEach((name) => put(name, memory[name]))
  const queued = () => [...Object.keys(memory), ...(disk(Object.keys) ?? []).map((name) => name.replace(PREFIX, ''))]
    .filter((name) => name.startsWith(QUEUE)).sort()

  // Consent: true, false, null while it is asked for, undefined where the site asks nothing.
  const purposes = () => JSON.parse(get('consent') ?? '{}')
  const agreed = () => settings
    ? get('paused') ? false : purposes().personalization ?? (settings.consent === null ? null : undefined)
    : null
  const consent = () => ({ ...purposes(), personalization: agreed() })

  // The id follows from a secret, which proves whose it is.
  const base64 = (bytes) =>
    btoa(String.fromCharCode(...bytes)).replace(/[+/=]/g, (sign) => ({ '+': '-', '/': '_' })[sign] ?? '')
  const random = (bytes) => base64(crypto.getRandomValues(new Uint8Array(bytes)))
  const sha256 = (text) => { // of up to 55 ASCII characters, also in http, where crypto.subtle is not
    const turn = (word, by) => word >>> by | word << 32 - by
    const primes = [], w = new Int32Array(64)
    for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime)) primes.push(n)
    const start = primes.slice(0, 8).map((prime) => Math.sqrt(prime) % 1 * 2 ** 32 | 0)
    for (let i = 0; i <= text.length; i++) w[i >> 2] |= (text.charCodeAt(i) || 128) << 24 - i % 4 * 8
    w[15] = text.length * 8
    let state = start
    for (let i = 0; i < 64; i++) {
      if (i > 15) {
        const x = w[i - 15], y = w[i - 2]
        w[i] = w[i - 16] + (turn(x, 7) ^ turn(x, 18) ^ x >>> 3) + w[i - 7] + (turn(y, 17) ^ turn(y, 19) ^ y >>> 10)
      }
      const [a, b, c, d, e, f, g, h] = state
      const one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & f ^ ~e & g) + w[i] +
        (Math.cbrt(primes[i]) % 1 * 2 ** 32 | 0)
      const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + (a & b ^ a & c ^ b & c)
      state = [one + two | 0, a, b, c, d + one | 0, e, f, g]
    }
    return state.flatMap((word, i) => [24, 16, 8, 0].map((by) => word + start[i] >>> by & 255))
  }
  const ids = {}
  const secret = () => get('secret') ?? (put('secret', random(24)), get('secret'))
  const anonymousId = () => settings?.anonymousId ?? (ids[secret()] ??= `v_${base64(sha256(secret())).slice(0, 22)}`)
  const who = () => ({ anonymousId: anonymousId(), userId: get('user') })
  const known = () => settings?.anonymousId ?? disk((store) => store.getItem(`${PREFIX}secret`))

  // Events wait under names of their own in a queue of all tabs, until the server says that it has them.
  const warned = new Set()
  const warn = (text) => {
    if (!warned.has(text)) console.warn(`instanter: ${text}`)
    warned.add(text)
  }
  const circumstances = () => {
    const { title, referrer, URL: url } = document
    return {
      page: { url, title, referrer }, locale: navigator.language,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone, library: { name: 'instanter.js', version: '1.0.0' },
    }
  }
  const entry = (name) => { // when a page that was left sent it, or NaN; the event, or ""
    const text = get(name) ?? '|', bar = text.indexOf('|')
    return [parseInt(text, 36), text.slice(bar + 1)]
  }
  const lose = (names) => {
    put('dropped', +get('dropped') + names.length)
    names.forEach(drop)
  }
  let made = 0
  const add = (type, fields, context) => {
    const timestamp = Date.now(), messageId = random(15), waiting = queued()
    const text = JSON.stringify({
      type, messageId, timestamp, ...who(), ...fields, context: { ...circumstances(), ...context },
    })
    const sizes = waiting.map((name) => 2 * get(name).length)
    let bytes = sizes.reduce((sum, size) => sum + size, 2 * text.length), lost = 0
    while (lost < sizes.length && (sizes.length - lost >= EVENTS_MAX || bytes > BYTES_MAX)) bytes -= sizes[lost++]
    if (lost) lose(waiting.slice(0, lost))
    put(`${QUEUE}${timestamp}.${String(made++).padStart(6, 0)}.${messageId}`, `|${text}`)
    soon()
  }
  const record = (type, fields, context) => {
    if (agreed() !== false) add(type, fields, context)
  }

  // Sending. `again` is when a server that refused or did not answer may be asked next.
  let timer, again = 0, failures = 0, draining = Promise.resolve()
  const soon = () => {
    timer ||= setTimeout(() => {
      timer = 0
      if (Date.now() < again) soon()
      else flush()
    }, Math.max(WAIT_MS, again - Date.now()))
  }
  const headers = () => ({ 'content-type': 'application/json', ...(settings.key && { 'x-write-key': settings.key }) })
  const ask = async (path, options, ms) => {
    const cut = new AbortController(), stop = setTimeout(() => cut.abort(), ms)
    try {
      const { signal } = cut
      const reply = await fetch(settings.host + path, { method: 'POST', credentials: 'omit', signal, ...options })
      return { reply, said: await reply.json() }
    } finally { clearTimeout(stop) }
  }
  const next = (bytesMax, leaving) => {
    const found = []
    let bytes = 0
    for (const name of queued()) {
      const [sent, text] = entry(name)
      if (!text || Date.now() - sent > REPEAT_MS_MAX) drop(name)
      else if (!(leaving && sent) && found.length < BATCH_EVENTS) {
        bytes += new Blob([text]).size
        if (bytes < bytesMax || !found.length) found.push(name)
      }
    }
    return agreed() === null ? [] : found
  }
  const bodyOf = (names) => {
    const context = { consent: consent(), userToken: token, droppedEvents: +get('dropped') || undefined }
    return `{"batch":[${names.map((name) => entry(name)[1]).filter(Boolean)}],"sentAt":${Date.now()},` +
      `"writeKey":${JSON.stringify(settings.key)},"context":${JSON.stringify(context)}}`
  }
  const deliver = async (names, options) => { // whether they need not be sent any more
    const dropped = +get('dropped')
    let wait = Math.min(2 ** failures++, RETRY_S_MAX) * (500 + 500 * Math.random())
    try {
      const { reply, said } = await ask('/v1/b', { body: bodyOf(names), ...options }, SEND_MS_MAX)
      if (said.success) {
        failures = 0
        names.forEach(drop)
        if (dropped) put('dropped', +get('dropped') - dropped)
        for (const one of said.rejected) warn(one.message)
        if (settings.debug) for (const one of said.warnings ?? []) warn(`${one.event}: ${one.message}`)
        return true
      }
      warn(said.message)
      if ([400, 413].includes(reply.status)) return lose(names), true
      names.forEach((name) => put(name, `|${entry(name)[1]}`))
      wait = Math.max(wait, 1e3 * reply.headers.get('retry-after'))
    } catch {} // They may have been taken: their ids tell.
    again = Date.now() + wait
    soon()
    return false
  }
  const drain = async () => {
    for (let names; (names = next(BATCH_BYTES)).length;) if (!await deliver(names)) return false
    return true
  }
  const flush = () => // one tab at a time, where browsers can tell
    (draining = draining.then(() => navigator.locks?.request('instanter', drain).catch(drain) ?? drain()))
  const leave = () => {
    tellSeen()
    const names = navigator.onLine ? next(LEAVING_BYTES, true) : []
    if (!names.length) return
    const body = bodyOf(names)
    for (const name of names) put(name, `${Date.now().toString(36)}|${entry(name)[1]}`)
    if ('keepalive' in Request.prototype) deliver(names, { body, keepalive: true })
    else navigator.sendBeacon(`${settings.host}/v1/b`, body)
  }

  // What to show.
  const decide = async (placements, { timeoutMs = 300, fallback = null, context } = {}) => {
    const end = Date.now() + timeoutMs
    try {
      const personal = agreed() ?? settings.consent !== null
      const asked = {
        ...(personal && who()), placements: [placements].flat().map((one) => one.id ? one : { id: one }),
        deadlineMs: Math.min(1 + timeoutMs / 2, 1e4),
        context: { ...circumstances(), consent: consent(), userToken: personal ? token : null, ...context },
      }
      const question = (events) => ask(
        '/v1/decide', { headers: headers(), body: JSON.stringify({ ...asked, events }) }, end - Date.now(),
      )
      const names = personal ? queued().slice(-BATCH_EVENTS) : []
      const events = names.map((name) => entry(name)[1]).filter(Boolean).map((text) => {
        const event = JSON.parse(text)
        return { ...event, sentAt: Date.now(), context: { consent: consent(), ...event.context } }
      })
      let { reply, said } = await question(events)
      if (reply.ok) names.forEach(drop)
      // It may be for one of the events, which `flush` is told.
      else if (reply.status < 429 && events.length) ({ reply, said } = await question([]))
      if (reply.ok) return said
      warn(said.error.message)
    } catch (error) { warn(error.message) }
    return fallback
  }
  const fill = async (element, draw, options) => { // what stands there stays, unless an answer comes in time
    const id = element.getAttribute(LIST), limit = element.children.length || undefined
    const answer = await decide([{ id, limit, ...options?.placement }], options)
    const items = answer?.placements[id].items ?? []
    if (!items.length) return answer
    element.style.minHeight = `${element.offsetHeight}px`
    element.setAttribute(DECISION, answer.decisionId)
    element.replaceChildren(...items.map((item) => {
      const node = draw(item)
      node.setAttribute(ITEM, item.id)
      return node
    }))
    return answer
  }

  // What is seen and clicked of lists that name their items.
  const seen = new Set(), entering = new Map()
  let lists = {}, telling, looking
  const tell = (event, item, products) => {
    const list = item?.closest(`[${LIST}]`)
    if (!list) return
    const position = [...list.querySelectorAll(`[${ITEM}]`)].indexOf(item) + 1
    const place = { product_id: item.getAttribute(ITEM), position }
    const list_id = list.getAttribute(LIST), decisionId = list.getAttribute(DECISION) || undefined
    if (!products) return record('track', { event, properties: { list_id, ...place } }, { decisionId })
    const name = JSON.stringify([list_id, decisionId, place.product_id])
    if (seen.has(name)) return
    if (seen.size >= SEEN_MAX) seen.clear()
    seen.add(name)
    ;(lists[[list_id, decisionId]] ??= { event, list_id, decisionId, products }).products.push(place)
    telling ||= setTimeout(tellSeen, WAIT_MS)
  }
  const tellSeen = () => {
    telling = 0
    for (const { event, decisionId, ...properties } of Object.values(lists)) {
      record('track', { event, properties }, { decisionId })
    }
    lists = {}
  }
  const click = ({ target, button }) => {
    if (button < 2) tell('Product Clicked', target.closest?.(`[${ITEM}]`))
  }
  const watch = () => {
    const watching = new IntersectionObserver((entries) => {
      for (const { target, intersectionRatio, intersectionRect: { width, height } } of entries) {
        // Of what is larger than the window, half of that is enough.
        const visible = intersectionRatio >= 0.5 || width * height >= innerWidth * innerHeight / 2
        if (!visible || document.hidden) {
          clearTimeout(entering.get(target))
          entering.delete(target)
        } else if (!entering.has(target)) {
          entering.set(target, setTimeout(() => {
            tell('Product List Viewed', target, [])
            entering.delete(target)
          }, SEEN_MS))
        }
      }
    }, { threshold: [0, 0.1, 0.2, 0.5] })
    const look = () => {
      looking = 0
      watching.disconnect()
      document.querySelectorAll(`[${LIST}] [${ITEM}]`).forEach((item) => watching.observe(item))
    }
    look()
    new MutationObserver(() => { looking ||= setTimeout(look, 100) })
      .observe(document, { childList: true, subtree: true, attributeFilter: [ITEM, LIST, DECISION] })
    addEventListener('click', click, true)
    addEventListener('auxclick', click, true)
    document.addEventListener('visibilitychange', () => {
      look()
      if (document.hidden) leave()
    })
    addEventListener('pagehide', leave)
    addEventListener('online', () => { failures = again = 0; flush() })
  }

  // What visitors may ask about themselves.
  const me = async (method, path = '', body) => {
    if (!known() && !token) throw new Error('nothing is known of this device')
    const proof = { 'x-visitor-secret': get('secret') ?? '', ...(token && { 'x-user-token': token }) }
    const reply = await fetch(`${settings.host}/v1/me${path}`, {
      method, credentials: 'omit', headers: { ...headers(), ...proof }, body: JSON.stringify(body),
    })
    const text = await reply.text()
    if (!reply.ok) throw new Error(JSON.parse(text).error.message)
    return path === '/export' ? text : JSON.parse(text)
  }
  const say = async (personalization) =>
    known() || token ? me('PUT', '/consent', { purposes: { personalization } }) : { purposes: { personalization } }
  const forget = () => queued().forEach(drop)
  const state = (name, value, refusal) => { // note a word on consent; a refusal drops what waits and is told
    memory[name] = value
    if (refusal) {
      forget()
      if (known()) add('identify')
      else drop('secret')
    }
    settle()
    soon()
  }

  const early = window.instanter, said = document.currentScript?.dataset
  const api = window.instanter = {
    get anonymousId() { return anonymousId() },
    load(options) {
      const first = !settings
      settings = { key: '', ...settings, ...options, host: (options.host ?? '').replace(/\/+$/, '') }
      token = options.userToken ?? token
      if (options.consent) api.consent(options.consent)
      settle()
      if (!first) return
      watch()
      soon()
    },
    page: (name, properties) => record('page', { name, properties }),
    track: (event, properties, context) => record('track', { event, properties }, context),
    identify(userId, traits, { userToken } = {}) {
      token = userToken ?? token
      put('user', userId)
      record('identify', { traits })
    },
    reset() {
      drop('user')
      drop('secret')
      token = undefined
      if (settings) delete settings.anonymousId
    },
    consent(said) {
      const before = purposes(), now = { ...before, ...said }
      state('consent', JSON.stringify(now), now.personalization === false && before.personalization !== false)
    },
    decide, fill, flush,
    privacy: () => ({
      profile: () => me('GET'),
      why: (decisionId) => me('GET', `/decisions/${encodeURIComponent(decisionId)}`),
      pause() {
        state('paused', '1', true)
        return say(false)
      },
      resume() {
        drop('paused')
        return say(true)
      },
      export: () => me('GET', '/export'),
      async erase() {
        forget()
        const said = await me('DELETE')
        api.reset()
        return said
      },
    }),
  }
  if (said?.host !== undefined) {
    api.load({ host: said.host, key: said.key, ...(said.consent === 'ask' && { consent: null }) })
    if (said.page !== 'off') api.page()
  }
  if (Array.isArray(early)) early.forEach(([name, ...rest]) => api[name](...rest))
})()
