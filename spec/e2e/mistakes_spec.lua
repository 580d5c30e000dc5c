-- SPDX-License-Identifier: Apache-2.0
-- What operators get wrong. Each message names the place, what is wrong there and what is
-- wanted, and what was running goes on.
local Host = require "support.host"

local function certify(folder, name)
  local code, _, err = Host.run("openssl", { "req", "-x509", "-newkey", "ec", "-pkeyopt",
    "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2, "-subj", "/CN=" .. name,
    "-keyout", ("%s/%s.key"):format(folder, name), "-out", ("%s/%s.pem"):format(folder, name) })
  assert(code == 0, err)
end

local function files(folder, cert, key, more)
  local tls = { cert = folder .. "/" .. cert, key = folder .. "/" .. key }
  for name, value in pairs(more or {}) do tls[name] = value end
  return tls
end

--- A config with these listeners, one a line from line 2 on.
local function listening(...)
  local lines = { "return { plugins = { mqtt = {} }, listeners = {" }
  for _, l in ipairs { ... } do lines[#lines + 1] = ("{ adapter = 'mqtt', %s },"):format(l) end
  return table.concat(lines, "\n") .. "} }"
end

describe("tidegate config check", function()
  after_each(Host.cleanup)

  local function refuses(text, pattern)
    local path = Host.write(Host.folder() .. "/c.lua", text)
    local code, _, err = Host.run(Host.binary, { "config", "check", path })
    assert.equal(1, code, text)
    assert.matches(pattern, err, text)
  end

  it("finds what is wrong with addresses and names of listeners", function()
    refuses(listening "name = 'a', bind = 'nowhere'",
      "c%.lua:2: listeners%[1%]%.bind: 'nowhere' is no address and port; write 127")
    refuses(listening "name = 'a', bind = '127.0.0.1:99999'", "c%.lua:2: listeners%[1%]%.bind")
    refuses(listening "name = 'a b', bind = '*:1'", "c%.lua:2: listeners%[1%]%.name: letters")
    refuses(listening "name = 'a', bind = '*:1', transport = 'tls'",
      "c%.lua:2: listeners%[1%]%.transport: tls needs a certificate")
    refuses(listening("name = 'a', bind = '*:1'", "name = 'a', bind = '*:2'"),
      "c%.lua:3: listeners%[2%]: .*listeners%[1%] is called 'a', too")
  end)

  it("reads the certificates", function()
    local folder = Host.folder()
    certify(folder, "a")
    certify(folder, "b")
    Host.write(folder .. "/text", "no certificate\n")
    local function tls(cert, key, more)
      return listening(("name = 'a', bind = '*:1', tls = { cert = '%s/%s', key = '%s/%s', %s }")
        :format(folder, cert, folder, key, more or ""))
    end
    local at = "c%.lua:2: listeners%[1%]%.tls: "
    refuses(tls("none", "a.key"), at .. ".*/none: No such file")
    refuses(tls("text", "a.key"), at .. ".*/text: nothing in PEM form")
    refuses(tls("a.pem", "text"), at .. ".*/text: nothing in PEM form")
    refuses(tls("a.pem", "b.key"), at .. ".*/b.key: not the key of the certificate")
    refuses(tls("a.pem", "a.key", "verify = 'required'"), at .. "client certificates need")
    refuses(tls("a.pem", "a.key", "ciphers = 'NONE-SUCH'"), at .. "NONE%-SUCH: no cipher match")
  end)

  it("finds users that could not come in, or could do nothing", function()
    local function users(text) return "return {\nusers = {\n" .. text .. "} }" end
    refuses(users "{ user = 'a', password = 'pbkdf2$sha256$x' }",
      "c%.lua:3: users%[1%]: a password's hash is written pbkdf2")
    refuses(users "{ user = 'a', password = 'x',\npublish = { 'ok/#',\n'a/#/b' } }",
      "c%.lua:5: users%[1%]%.publish: 'a/#/b' is no topic filter")
    refuses(users "{ user = 'a', password = 'x' },\n{ user = 'a', password = 'y' }",
      "c%.lua:4: users%[2%]: user 'a' is listed twice")
    refuses(users "{ user = '', password = 'x' }", "c%.lua:3: users%[1%]: a user has a name")
  end)

  it("tells a plugin without options from a name without a plugin", function()
    refuses("return { plugins = { mqtt = {}, { name = 'gt06' } } }",
      "c%.lua:1: plugins%.1: no name of a plugin; write")
  end)
end)

describe("a start with a mistake", function()
  after_each(Host.cleanup)

  local function try(config, ...)
    local code, _, err = Host.try { config = config }
    assert.equal(1, code)
    for _, pattern in ipairs { ... } do assert.matches(pattern, err) end
  end

  it("names the listener's line, and where plugins are listed", function()
    local state = Host.folder()
    try(("return { state_dir = %q, plugins = {}, listeners = {\n{ name = 'a', adapter = 'mqtt', "
      .. "bind = '127.0.0.1:%d' } } }"):format(state, Host.free_port()),
      "tidegate%.lua:2: listeners%[1%]%.adapter: no plugin offers adapter 'mqtt'; .*`plugins`")
  end)

  it("finds options that the listener's adapter does not have", function()
    local function refuses(options, pattern)
      try({ plugins = { mqtt = {} }, listeners = {
        { name = "a", adapter = "mqtt", options = options } } },
        "listeners%[1%]%.options%." .. pattern)
    end
    refuses({ max_qoss = 1 }, "max_qoss: no such option; did you mean 'max_qos'%?")
    refuses({ max_qos = 3 }, "max_qos: expected an integer from 0 to 2, got 3")
  end)

  it("names the option behind a path, and what to do about it", function()
    try({ state_dir = "/proc/none" }, "state_dir: cannot make /proc/none")
    try({ files = { path = "/none/such/folder" } },
      "files%.path: its parent folder must exist: /none/such/folder")
    try({ admin = { bind = "127.0.0.1:0", token_file = "/none/token" } },
      "admin%.token_file: cannot make /none/token: No such file")
    try({ admin = { bind = "0.0.0.0" } }, "admin%.bind: '0%.0%.0%.0' is no address and port; write")
    local short = Host.write(Host.folder() .. "/token", "short\n")
    assert(os.execute("chmod 600 " .. short))
    try({ admin = { bind = "127.0.0.1:0", token_file = short } },
      "/token: a token is one word .*; remove the file")
  end)

  it("says of a plugin's folder what is missing, and knows nearly right names", function()
    local folder = Host.folder()
    local host = Host.start { config = { listeners = {},
      plugins = { { name = folder }, { name = "mqqt" } }, auth = { "users", "ldpa" } } }
    host:log_line "left out: /.*: a folder without an init%.lua"
    host:log_line "plugin 'mqqt' is not in .*; did you mean 'mqtt'%?"
    host:log_line "no plugin offers the backend 'ldpa': whoever is not decided before it is refused"
    local _, health = host:api("GET", "/health")
    assert.equal("degraded", health.status)
    assert.matches("'ldpa'", health.problems)
    host:stop()
  end)
end)

describe("the command line", function()
  after_each(Host.cleanup)

  it("names the word that is missing, or the first that is too much", function()
    for line, pattern in pairs {
      ["publish"] = "publish: TOPIC is missing\nUsage: tidegate publish TOPIC",
      ["decode gt06"] = "decode: HEX… is missing",
      ["command d"] = "command: NAME is missing",
      ["reload a b c"] = "reload: too many words, from 'b' on",
    } do
      local words = {}
      for word in line:gmatch "%S+" do words[#words + 1] = word end
      local code, _, err = Host.run(Host.binary, words)
      assert.equal(2, code)
      assert.matches(pattern, err)
    end
  end)

  it("tells a token that cannot be read from one that is another host's", function()
    local host = Host.start { config = { plugins = {}, listeners = {} } }
    local function ask(file)
      local code, _, err = host:cli("clients", "--token-file", file)
      assert.equal(1, code)
      assert.matches("Another file is named with %-%-token%-file", err)
      return err
    end
    assert.matches("No token could be read from /none/token: No such file", ask "/none/token")
    local other = Host.write(Host.folder() .. "/token", ("0"):rep(64) .. "\n")
    assert.matches("/token is not that of the host at 127", ask(other))
    local code, _, err = host:cli("log", "debug", "nte")
    assert.equal(1, code)
    assert.matches("no log module 'nte'; there are: host net tls", err)
    host:stop()
  end)
end)

describe("SIGHUP with a certificate that cannot be used", function()
  after_each(Host.cleanup)

  it("leaves the changed listener as it was, and changes it once it can", function()
    local folder = Host.folder()
    certify(folder, "a")
    certify(folder, "b")
    local port = Host.free_port()
    local function config(key, backlog)
      return Host.config_text { state_dir = folder .. "/state", plugins = { mqtt = {} },
        admin = { bind = "127.0.0.1:0" },
        listeners = { { name = "m", adapter = "mqtt", bind = "127.0.0.1:" .. port,
          backlog = backlog, tls = files(folder, "b.pem", key) } } }
    end
    local host = Host.start { config = (config("a.key", 10):gsub("b%.pem", "a.pem")) }
    local function subject()
      local _, out = Host.run("openssl", { "s_client", "-connect", "127.0.0.1:" .. port })
      return out:match "subject=CN = (%S+)"
    end
    assert.equal("a", subject())
    Host.write(host.config, config("a.key", 20))
    host:signal "sighup"
    host:log_line "listener m stays as it was: .*listeners%[1%]%.tls: .*not the key"
    host:log_line "0 listeners closed, 0 opened"
    assert.equal("a", subject())
    certify(folder, "b") -- the certificate's own pair, under the name that the config has
    assert(os.rename(folder .. "/b.key", folder .. "/a.key"))
    host:signal "sighup"
    host:log_line "1 listeners closed, 1 opened"
    assert.equal("b", subject())
    host:stop()
  end)
end)
