-- SPDX-License-Identifier: Apache-2.0
-- tg.files: an adapter that stores what its devices send, under the names that they want.
local Host = require "support.host"

local UPLOAD = [[
local tg = require "tidegate"
local M = tg.adapter {
  id = "upload", version = "1.0.0", api = 1,
  frame = { kind = "line", max = 100000 },
}
local function unhex(text) return tg.hex.decode(text) end
function M.decode(line)
  local device, name, bytes = line:match "^(%x+) (%x+) (%x*)$"
  if not device then return { type = "bad" } end
  return { type = "file", parts = { unhex(device), unhex(name) }, bytes = unhex(bytes) }
end
function M.on_message(conn, msg)
  if msg.type == "bad" then
    local ok, err = pcall(tg.files.write, { "one part" }, "bytes")
    return conn:send(tostring(err):gsub("\n.*", "") .. "\n")
  end
  local file, err = tg.files.write(msg.parts, msg.bytes)
  if not file then return conn:send(err.code .. " " .. err.message .. "\n") end
  conn:send(("%s %s %d %s\n"):format(file.path, file.name, file.size, file.sha256))
end
return M
]]

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

describe("files of devices", function()
  local host, conn

  local function start(files)
    local plugins = Host.folder()
    Host.write(plugins .. "/upload.lua", UPLOAD)
    host = Host.start { config = {
      plugins = { { name = plugins .. "/upload.lua" } },
      listeners = { { name = "upload", adapter = "upload", anonymous = true } },
      files = files,
    } }
    conn = Host.connect(host.ports.upload)
  end
  after_each(Host.cleanup)

  local function store(device, name, bytes)
    conn:send(("%s %s %s\n"):format(hex(device), hex(name), hex(bytes)))
    return (conn:read_to "\n":gsub("\n$", ""))
  end

  it("lie below the host's folder, whatever the device calls them", function()
    start()
    local folder = host.folder .. "/state/files/"
    for given, want in pairs {
      ["../../../x"] = "%2E.%2F..%2F..%2Fx", ["a\0.jpg"] = "a%00.jpg",
      ["\xE8\xBD\xA6"] = "%E8%BD%A6", ["plain.jpg"] = "plain.jpg",
    } do
      local path, name, size = store("dev/1", given, "hello"):match "^(%S+) (%S+) (%d+) %x+$"
      assert.equal("upload/dev%2F1/" .. want, path)
      assert.same({ want, "5" }, { name, size })
      assert.equal("hello", Host.read(folder .. path))
    end
    local long = store("d", ("n"):rep(300) .. ".jpg", "x"):match "^%S+"
    assert.is_true(#long < 130)
    assert.equal("x", Host.read(folder .. long))
    host:stop()
  end)

  it("are numbered, and never replaced", function()
    start()
    assert.matches("^upload/d/a%.jpg ", store("d", "a.jpg", "1"))
    assert.matches("^upload/d/a%-2%.jpg ", store("d", "a.jpg", "2"))
    assert.equal("1", Host.read(host.folder .. "/state/files/upload/d/a.jpg"))
    assert.equal(2, host:metric "tidegate_files_written_total")
    assert.equal(8192, host:metric "tidegate_files_bytes")
    host:stop()
  end)

  it("have bounds, and errors that name them", function()
    start { max_bytes = 100, device_bytes = "8KiB", when_full = "refuse", total = "12KiB" }
    assert.matches("^TOOBIG", store("a", "1", ("x"):rep(101)))
    assert.matches("^upload/a/1 ", store("a", "1", "x"))
    assert.matches("^upload/a/2 ", store("a", "2", "x"))
    assert.matches("^FULL the device's files", store("a", "3", "x"))
    assert.matches("^upload/b/1 ", store("b", "1", "x"))
    assert.matches("^FULL the folder of files is full", store("c", "1", "x"))
    assert.equal(2, host:metric "tidegate_files_refused_total")
    host:stop()
  end)

  it("are kept by nobody where the config says so", function()
    start { enabled = false }
    assert.matches("^UNSUPPORTED", store("a", "1", "x"))
    host:stop()
  end)

  it("need a device and a name", function()
    start()
    conn:send("nonsense\n")
    assert.matches("2 to 8 parts", conn:read_to "\n")
    host:stop()
  end)

  it("that cannot be opened end the start with their folder's name", function()
    local code, _, err = Host.try { config = { files = { path = "/nowhere/at/all" } } }
    assert.equal(1, code)
    assert.matches("/nowhere/at/all", err)
  end)
end)
