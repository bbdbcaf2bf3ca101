// The snippets of Featurebase's migration guide as they stand there; only what surrounds them is ours.

import crypto from "node:crypto";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/// "Before (Identity Verification)".
export function before(currentUser) {
  // Your identity verification secret
  const secretKey = "iv_your-secret-key";

  // Use email or user identifier
  const userIdentifier = currentUser.email;

  // Generate HMAC hash
  const userHash = crypto
    .createHmac('sha256', secretKey)
    .update(userIdentifier)
    .digest('hex');

  return userHash;
}

/// "After (JWT Authentication)". The guide passes `{ algorithm: "HS256" }` alone; `more` is for an end.
export function after(currentUser, more = {}) {
  const jwt = require("jsonwebtoken");

  // Configure token payload
  const tokenData = {
    name: currentUser.name,
    // Both email and userId should be provided when possible
    // At minimum, either email or userId must be present
    email: currentUser.email,
    userId: currentUser.userId,
    profilePicture: "https://example.com/images/yourcustomer.png",

    // Add any optional custom attributes - must be configured from settings to work
    title: "Product Manager",
    plan: "Premium",
    number: "123",
    // locale: "en", // optional, provide expected language for user

    // Optional fields
    companies: [
      {
        id: "987654321", // required
        name: "Business Inc. 23", // required
        monthlySpend: 500, // optional
        createdAt: "2023-05-19T15:35:49.915Z", // optional

        // Add any optional custom attributes - must be configured from settings to work
        industry: "Fintech",
        location: "Canada",
      },
    ],
  };

  // Use environment variable for security
  const signingKey = process.env.FEATUREBASE_JWT_SECRET;

  // Generate signed token
  const authToken = jwt.sign(tokenData, signingKey, {
    algorithm: "HS256",
    ...more,
  });

  return authToken;
}
