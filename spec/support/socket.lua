-- SPDX-License-Identifier: Apache-2.0
-- What TCP and UDP sockets of specs share: each is known until it is closed, so that a failed
-- test leaves none behind.
local uv = require "luv"

--- A class of sockets. Each instance has a libuv `handle`, and calls opened() once it is one.
return function()
  local Class, alive = {}, {}
  Class.__index = Class

  function Class:opened()
    alive[self] = true
    return self
  end

  --- `how`: the handle's method that ends it.
  function Class:close(how)
    if alive[self] then
      alive[self] = nil
      self.handle[how or "close"](self.handle)
      uv.run "nowait"
    end
  end

  function Class.cleanup()
    local left = {}
    for socket in pairs(alive) do left[#left + 1] = socket end
    for _, socket in ipairs(left) do socket:close() end
  end

  return Class
end
