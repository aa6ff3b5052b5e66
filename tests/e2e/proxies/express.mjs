// An express app that compresses whatever it answers, with Turnwire below /ai.
import compression from "compression";
import express from "express";
import { createProxyMiddleware } from "http-proxy-middleware";

const app = express();
app.use(compression({ threshold: 0 }));
app.use("/ai", createProxyMiddleware({ target: process.env.SERVICE, changeOrigin: true }));
app.listen(Number(process.env.PORT), "127.0.0.1");
